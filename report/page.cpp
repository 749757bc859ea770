#include "report/page.h"

#include <sodium.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/hash.h"
#include "report/plotly.h"

namespace sotto::report {
namespace {

// 'sha256-…' as a content policy names an inline script.
std::string policy_hash(const std::string& script) {
  const Digest digest = sha256(script);
  std::string text(sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), digest.data(), digest.size(), sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // sodium writes a closing zero
  return "'sha256-" + text + "'";
}

// JSON that cannot close its script element: in JSON `<` stands only inside strings, where it may be written so.
std::string inert(const Json& value) {
  std::string out;
  for (const char c : dump(value)) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

Json plots(const std::vector<Figure>& figures) {
  Json out = Json::array();
  for (const Figure& figure : figures) {
    out.push_back(figure.plot);
    out.back()["id"] = figure.id;
    if (figure.height > 0) out.back()["height"] = figure.height;
  }
  return out;
}

// A browser would break 1e-5 and 2026-11-24T02:52:29Z after a hyphen, and the id of a run nowhere, which pushes what
// follows out of sight.
Html well_broken(const std::string& cell) {
  constexpr size_t kRunId = 32;
  if (cell.size() == kRunId && cell.find_first_not_of("0123456789abcdef") == std::string::npos)
    return html(cell.substr(0, kRunId / 2), "<wbr>", cell.substr(kRunId / 2));
  const bool may_break = cell.find('-') != std::string::npos || cell.find("–") != std::string::npos;
  const bool is_number =
      cell[0] >= '0' && cell[0] <= '9' && cell.find_first_not_of("0123456789.,:+-–%eTZ") == std::string::npos;
  if (!may_break || !is_number) return html(cell);
  const size_t hour = std::min(cell.find('T'), cell.size() - 1) + 1;
  Html out = html("<span class=\"whole\">", cell.substr(0, hour), "</span>");
  if (hour < cell.size()) out += html("<wbr><span class=\"whole\">", cell.substr(hour), "</span>");
  return out;
}

}  // namespace

Html prose(const std::string& text) {
  Html out;
  bool code = false;
  for (size_t begin = 0; begin <= text.size(); code = !code) {
    const size_t end = std::min(text.find('`', begin), text.size());
    std::string piece = text.substr(begin, end - begin);
    // A line may not break inside an equation.
    for (size_t at; (at = piece.find(" = ")) != std::string::npos;) piece.replace(at, 3, "\u00a0=\u00a0");
    out += code ? html("<code>", piece, "</code>") : html(piece);
    begin = end + 1;
  }
  return out;
}

Html table(const std::vector<std::string>& columns, const std::vector<std::vector<std::string>>& rows) {
  Html out = html("<div class=\"scroll\"><table><thead><tr>");
  for (const std::string& column : columns) out += html("<th scope=\"col\">", column, "</th>");
  out += html("</tr></thead><tbody>");
  for (const std::vector<std::string>& row : rows) {
    out += html("<tr>");
    for (const std::string& cell : row) out += html("<td>", well_broken(cell), "</td>");
    out += html("</tr>");
  }
  out += html("</tbody></table></div>");
  return out;
}

Html show(const Figure& figure) {
  Html caption;
  if (!figure.caption.empty()) caption = html("<p class=\"note\">", figure.caption, "</p>");
  Html height;
  if (figure.height > 0) height = html(" style=\"height: ", figure.height, "px\"");
  return html("<figure><figcaption>", figure.title, "</figcaption><div class=\"plot\" role=\"img\" id=\"plot_",
              figure.id, "\"", height, " aria-label=\"",
              figure.title + ". " + figure.description + " The numbers are in the table below.", "\"></div>", caption,
              "<details><summary>The numbers as a table</summary>", table(figure.columns, figure.rows),
              "</details></figure>\n");
}

std::string document(const std::string& title, const Html& body, const std::vector<Figure>& figures) {
  const std::string script = page_script();
  // Whatever slipped past the escaping still could not run or load anything.
  const std::string policy = cat("default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src ",
                                 policy_hash(plotly_source()), " ", policy_hash(script));
  const Html head = html(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
      "http-equiv=\"Content-Security-Policy\" content=\"",
      policy,
      "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta "
      "name=\"color-scheme\" content=\"light dark\">\n<title>",
      title, "</title>\n");
  return html(head, raw_element("<style>", page_style(), "</style>\n"), "</head>\n<body>\n", body,
              raw_element("<script type=\"application/json\" id=\"figures\">", inert(plots(figures)), "</script>\n"),
              raw_element("<script>", plotly_source(), "</script>\n"), raw_element("<script>", script, "</script>\n"),
              "</body>\n</html>\n")
      .markup();
}

std::string page(const RunFolder& run, const std::vector<OperatorPoint>* exact) {
  std::vector<Figure> figures;
  Html body = html("<main>\n");
  if (exact) {
    body += html(
        "<aside class=\"banner\" role=\"alert\"><h2>Not releasable</h2><p>This is the operator’s copy: it shows "
        "exact figures of the training data, which no guarantee covers. Keep it where the data are kept.</p>"
        "</aside>\n");
  }
  body += banner_part(run.certificate);
  body += summary_part(run);
  body += guarantee_part(run, figures);
  body += not_covered_part(run.certificate);
  body += training_part(run);
  body += budget_part(run, figures);
  body += quality_part(run, figures);
  if (exact) body += operator_part(*exact, figures);
  body += ledger_part(run);
  body += reproduce_part(run);
  body += html("</main>\n");

  return document("Privacy report: " + run.certificate.dataset.name, body, figures);
}

}  // namespace sotto::report

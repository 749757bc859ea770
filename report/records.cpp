#include "base/error.h"
#include "report/numbers.h"
#include "report/page.h"

namespace sotto::report {
namespace {

constexpr size_t kFirstRows = 3, kLastRows = 7;  // how a run began and how it ended; ledger.json has what lies between

std::string shell_quoted(const std::string& word) {
  const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

Html ledger_part(const RunFolder& run) {
  const Certificate& c = run.certificate;
  std::vector<std::vector<std::string>> rows;
  const size_t count = run.ledger.size();
  for (size_t i = 0; i < count; ++i) {
    if (count > kFirstRows + kLastRows && i == kFirstRows) {
      rows.push_back({"…", cat(count - kFirstRows - kLastRows, " more"), "", "", "", ""});
      i = count - kLastRows;
    }
    const LedgerLine& row = run.ledger[i];
    rows.push_back({counted(row.id), row.time, row.kind, counted(row.steps), round_up(row.epsilon, 4),
                    row.hash.size() > 16 ? row.hash.substr(0, 16) + "…" : row.hash});
  }
  const std::string certificate = shell_quoted((run.path / "certificate.json").generic_string());
  return html(
      "<section id=\"ledger\"><h2>The ledger</h2><p>Every step was charged here, durably, before it read any "
      "record. Each row’s hash covers the row before it, so that an edit, a gap or a cut below the certified head "
      "shows.</p>",
      table({"row", "time", "kind", "steps", "ε", "hash"}, rows),
      "<dl class=\"facts\"><div><dt>Certified head</dt><dd>row ", counted(c.ledger_row.id), ", <code>",
      c.ledger_row.head_hash,
      "</code></dd></div></dl><p>Check it where the ledger is:</p><pre><code>sotto ledger "
      "verify ",
      shell_quoted(c.ledger), " --against ", certificate, "</code></pre></section>\n");
}

Html reproduce_part(const RunFolder& run) {
  const Certificate& c = run.certificate;
  std::vector<std::vector<std::string>> rows;
  for (const FileHash& file : run.files) rows.push_back({file.name, file.sha256});
  Html out = html(
      "<section id=\"reproduce\"><h2>To reproduce and compare</h2><dl class=\"facts\"><div><dt>Program</dt>"
      "<dd>sotto ",
      c.sotto_version, "</dd></div></dl><h3>Files of this run, SHA-256</h3><div class=\"hashes\">",
      table({"file", "sha256"}, rows), "</div><h3>Configuration as run</h3><pre><code>", run.config, "</code></pre>");
  if (!run.model_card.empty()) {
    out += html("<details><summary>The model’s description (model.toml)</summary><pre><code>", run.model_card,
                "</code></pre></details>");
  }
  out += html("</section>\n");
  return out;
}

}  // namespace sotto::report

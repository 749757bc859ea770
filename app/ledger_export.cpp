#include "accountants/ledger.h"
#include "accountants/ledger/authority.h"
#include "accountants/ledger/backup.h"
#include "accountants/ledger/payload.h"
#include "accountants/ledger/signing_key.h"
#include "app/command.h"
#include "app/ledger.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "report/guarantee.h"
#include "report/numbers.h"
#include "report/page.h"

namespace sotto::app {
namespace {

using accountants::Ledger;
using accountants::LedgerLocation;

struct ExportOptions {
  std::string path, run_id, format = "json", out;
  bool json = false;
};

// What every format shows.
struct Books {
  std::vector<Json> rows = {};
  std::vector<std::string> hashes = {};
  Json runs = Json::array(), budgets = Json::array(), members = Json::array();
  accountants::VerifyReport verified;
};

Books read(const LedgerLocation& location) {
  const Ledger ledger = Ledger::open_existing(location);
  Books books{.verified = Ledger::verify(location)};
  for (const auto& row : ledger.rows()) {
    books.rows.push_back(Json::parse(row.payload));
    books.hashes.push_back(row.hash);
  }
  for (const std::string& id : ledger.run_ids()) {
    const auto state = ledger.run(id);
    books.runs.push_back({{"run_id", id},
                          {"who", state->entry.who},
                          {"data_set", state->entry.data_set},
                          {"unit_of_privacy", state->entry.unit_of_privacy},
                          {"epsilon", state->epsilon},
                          {"epsilon_cap", state->entry.epsilon_cap},
                          {"delta", state->entry.delta},
                          {"charged_steps", state->charged_steps},
                          {"reserved_steps", state->reserved_steps},
                          {"closed", state->closed}});
    if (state->refused) books.runs.back()["refused"] = accountants::to_fields(*state->refused);
  }
  for (const auto& budget : ledger.budgets()) books.budgets.push_back(to_json(budget));
  for (const auto& [id, member] : ledger.authority().members()) {
    Json fields = accountants::to_fields(member);
    fields["id"] = id;
    books.members.push_back(std::move(fields));
  }
  return books;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// RFC 4180. A text that a spreadsheet would run as a formula gets an apostrophe before it.
std::string cell(std::string text) {
  if (!text.empty() && std::string_view("=+-@\t").find(text[0]) != std::string_view::npos) text = "'" + text;
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

constexpr const char* kColumns[] = {
    "id",         "at",        "kind",    "by",    "run_id",      "who",           "data_set",
    "first_step", "last_step", "epsilon", "delta", "epsilon_cap", "planned_steps", "reserved_steps"};

std::string as_csv(const Books& books) {
  std::string text;
  for (const char* column : kColumns) text += cat(column, ",");
  text += "hash\r\n";
  for (size_t i = 0; i < books.rows.size(); ++i) {
    for (const char* column : kColumns) text += cell(text_of(books.rows[i], column)) + ",";
    text += books.hashes[i] + "\r\n";
  }
  return text;
}

std::string as_json(const Books& books) {
  Json rows = Json::array();
  for (size_t i = 0; i < books.rows.size(); ++i) {
    rows.push_back(books.rows[i]);
    rows.back()["hash"] = books.hashes[i];
  }
  return Json{{"format_version", 1},
              {"verified", books.verified.ok},
              {"findings", books.verified.findings},
              {"signatures", books.verified.signatures},
              {"head", {{"id", books.verified.head.id}, {"hash", books.verified.head.hash}}},
              {"runs", books.runs},
              {"budgets", books.budgets},
              {"members", books.members},
              {"rows", rows}}
             .dump(2) +
         "\n";
}

std::string as_html(const Books& books, const std::string& name) {
  using report::html;
  const auto epsilon = [](const Json& object, const char* key) {
    return object.contains(key) && object[key].is_number() ? report::round_up(object[key].get<double>(), 4) : "";
  };
  // No script: the tables are all there is.
  report::Html body = html(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
      "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<meta "
      "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Privacy ledger ",
      name, "</title>\n", report::raw_element("<style>", report::page_style(), "</style>\n"), "</head>\n<body>\n");
  body += html("<main class=\"books\"><p class=\"kicker\">Privacy ledger</p><h1>", name, "</h1>");
  body += books.verified.ok
              ? html("<p class=\"lead\">The chain of ", books.verified.head.id, " rows holds. ",
                     books.verified.signatures ? cat(books.verified.signatures, " signatures were checked.")
                                               : std::string("No row is signed: the ledger has no owner."),
                     "</p>")
              : html("<div class=\"banner\"><h2>The ledger does not hold</h2><p>", books.verified.findings.front(),
                     "</p></div>");
  body +=
      html("<p class=\"note\">Head: row ", books.verified.head.id, ", <code>", books.verified.head.hash, "</code></p>");
  const auto section = [&](const char(&id)[8], const std::string& title, const std::vector<std::string>& columns,
                           const std::vector<std::vector<std::string>>& rows) {
    if (!rows.empty())
      body += html("<section id=\"", std::string(id), "\"><h2>", title, "</h2>", report::table(columns, rows),
                   "</section>");
  };
  std::vector<std::vector<std::string>> rows;
  for (const Json& each : books.budgets)
    rows.push_back({accountants::to_text(accountants::scope_from_fields(each["scope"])), epsilon(each, "spent"),
                    epsilon(each, "held"), report::exact(each["epsilon"]), report::exact(each["delta"]),
                    text_of(each, "period_start"), text_of(each, "period_end"), text_of(each, "note")});
  section("budgets", "Budgets",
          {"Scope", "ε\u00a0spent", "ε\u00a0held", "ε\u00a0granted", "δ", "From", "Until", "Note"}, rows);
  rows.clear();
  for (const Json& each : books.runs)
    rows.push_back({text_of(each, "run_id"), text_of(each, "who"), text_of(each, "data_set"), epsilon(each, "epsilon"),
                    report::exact(each["epsilon_cap"]), report::exact(each["delta"]), text_of(each, "charged_steps"),
                    each["closed"] ? "closed" : "open"});
  section("theruns", "Runs", {"Run", "Who", "Data set", "ε\u00a0spent", "ε\u00a0allowed", "δ", "Steps", "State"}, rows);
  rows.clear();
  for (const Json& each : books.members)
    rows.push_back({text_of(each, "name"), text_of(each, "role"), text_of(each, "id"),
                    accountants::to_text(accountants::scope_from_fields(each["scope"]))});
  section("members", "Members", {"Name", "Role", "Key", "May spend on"}, rows);
  rows.clear();
  for (size_t i = 0; i < books.rows.size(); ++i) {
    const Json& each = books.rows[i];
    rows.push_back(
        {text_of(each, "id"), text_of(each, "at"), text_of(each, "kind"), text_of(each, "by"), text_of(each, "run_id"),
         cat(text_of(each, "first_step"), each.contains("first_step") ? "–" : "", text_of(each, "last_step")),
         epsilon(each, "epsilon"), books.hashes[i].substr(0, 16)});
  }
  section("allrows", "Every row", {"Row", "At", "Kind", "Key", "Run", "Steps", "ε", "Hash begins"}, rows);
  body += html("</main>\n</body>\n</html>\n");
  return body.markup();
}

int write_out(const ExportOptions& options) {
  const LedgerLocation location = LedgerLocation::parse(options.path);
  const Books books = read(location);
  if (options.format == "csv") refuse_unless_it_holds(books.verified, location);  // it has no place to say so
  const std::string text = options.format == "json"  ? as_json(books)
                           : options.format == "csv" ? as_csv(books)
                                                     : as_html(books, std::filesystem::path(location.text()).filename());
  // It says who ran what on whose data, as the ledger does.
  write_file(options.out, text, 0600);
  print(options.json, {{"out", options.out}, {"rows", books.rows.size()}, {"verified", books.verified.ok}},
        cat("wrote ", books.rows.size(), " rows to ", options.out,
            books.verified.ok ? "" : "; the ledger does not hold, see `sotto ledger verify`"));
  return books.verified.ok ? 0 : 1;
}

int history(const ExportOptions& options) {
  const Ledger ledger = open_to_tell(options.path);
  Json rows = Json::array();
  std::string text;
  for (const auto& row : ledger.rows(options.run_id)) {
    Json fields = Json::parse(row.payload);
    text += cat(row.id, "  ", text_of(fields, "at"), "  ", row.kind);
    if (fields.contains("by")) text += "  by " + text_of(fields, "by");
    for (const char* key : {"run_id", "name", "role", "data_set"})
      if (fields.contains(key)) text += "  " + text_of(fields, key);
    if (fields.contains("scope")) text += "  " + accountants::to_text(accountants::scope_from_fields(fields["scope"]));
    if (fields.contains("first_step"))
      text += cat("  steps ", text_of(fields, "first_step"), " to ", text_of(fields, "last_step"));
    if (fields.contains("epsilon")) text += "  ε " + report::round_up(fields["epsilon"], 4);
    if (const auto refused = accountants::refused_steps(fields))
      text += "  " + report::refusal_sentence(*refused, fields["epsilon_cap"]);
    text += "\n";
    fields["hash"] = row.hash;
    rows.push_back(std::move(fields));
  }
  require(!rows.empty(), options.path, " has no run ", options.run_id, "; `sotto ledger show` lists them");
  text.pop_back();
  print(options.json, {{"rows", rows}}, text);
  return 0;
}

int back_up(const ExportOptions& options) {
  const LedgerLocation from = LedgerLocation::parse(options.path), to = LedgerLocation::parse(options.out);
  accountants::back_up(from, to);
  const auto head = Ledger::open_existing(to).head();
  print(options.json, {{"out", to.text()}, {"head", {{"id", head.id}, {"hash", head.hash}}}},
        cat("copied ", from.text(), " to ", to.text(), ", up to row ", head.id));
  return 0;
}

}  // namespace

void add_ledger_exports(CLI::App& ledger, Action& chosen) {
  auto options = std::make_shared<ExportOptions>();
  const auto add = [&](const char* name, const char* what, int (*act)(const ExportOptions&)) {
    return add_verb(ledger, chosen, options, name, what, act);
  };
  auto* past = add("history", "every row, oldest first", history);
  past->footer("Examples:\n  sotto ledger history runs/ledger.sqlite --json");
  past->add_option("LEDGER", options->path, "ledger file")->required();
  past->add_option("--run", options->run_id, "this run's rows alone");

  auto* books = add("export", "the whole ledger for an auditor, who is told when it does not hold (exit code 1)",
                    write_out);
  books->footer("Examples:\n  sotto ledger export runs/ledger.sqlite --format html --out ledger.html");
  books->add_option("LEDGER", options->path, "ledger file")->required();
  books->add_option("--format", options->format, "of the file")
      ->check(CLI::IsMember({"json", "csv", "html"}))
      ->capture_default_str();
  books->add_option("--out", options->out, "file to write")->required();

  auto* copy = add("backup", "copy a ledger, also while it is in use", back_up);
  copy->footer("Examples:\n  sotto ledger backup runs/ledger.sqlite --out backup.sqlite");
  copy->add_option("LEDGER", options->path, "ledger file")->required();
  copy->add_option("--out", options->out, "new file")->required();

  auto* back = add("restore", "put a copy where a ledger was lost; never over one that is there", back_up);
  back->footer("Examples:\n  sotto ledger restore backup.sqlite --to runs/ledger.sqlite");
  back->add_option("BACKUP", options->path, "the copy")->required();
  back->add_option("--to", options->out, "new ledger file")->required();
}

}  // namespace sotto::app

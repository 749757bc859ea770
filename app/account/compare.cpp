#include <cmath>

#include "accountants/accountant.h"
#include "accountants/prv_cross_check.h"
#include "app/account/answer.h"
#include "app/account/commands.h"
#include "app/account/grid.h"
#include "app/table.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "report/curve_page.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

std::string shown(double bound, bool up) {
  if (!std::isfinite(bound)) return "none";
  return up ? report::significant_up(bound, 5) : report::significant_down(bound, 5);
}

// The reasons stand behind their rows, which would else be as wide as the longest.
std::string with_reasons(const std::string& table, const std::vector<std::string>& reasons) {
  std::string text;
  size_t row = 0;
  for (size_t begin = 0; begin < table.size(); ++row) {
    const size_t end = std::min(table.find('\n', begin), table.size());
    std::string line = table.substr(begin, end - begin);
    if (!reasons[row].empty()) line = line.substr(0, line.find_last_not_of(' ') + 1) + "  " + reasons[row];
    text += (row > 0 ? "\n" : "") + line;
    begin = end + 1;
  }
  return text;
}

// A second method's bracket, beside the accountants': what it says limits nothing.
Json cross_check(const Question& question, const accountants::EventList& events,
                 std::vector<std::vector<std::string>>& rows, std::vector<std::string>& reasons) {
  const std::string name = "prv";
  if (const auto reason = accountants::PrvCrossCheck::refuses(events, question.neighbouring_relation())) {
    rows.push_back({name, "", "", "", ""});
    reasons.push_back(cat("cross-check, never enforces: ", *reason));
    return {{"method", name}, {"enforces", false}, {"reason", *reason}};
  }
  const Clock clock;
  const accountants::Bracket found =
      accountants::PrvCrossCheck(events, question.neighbouring_relation()).epsilon(question.delta);
  const Answer answer{name, found, clock.milliseconds(), 0};
  const auto [lower, upper] = found;
  rows.push_back({name, shown(lower, false), shown(upper, true),
                  lower > 0 && upper < INFINITY ? report::significant_up(100 * (upper - lower) / upper, 2) + " %" : "–",
                  report::rounded(answer.milliseconds, 2)});
  reasons.emplace_back("cross-check, never enforces");
  Json object = to_json(answer, "epsilon");
  object["method"] = name;
  object["enforces"] = false;
  object.erase("accountant");
  return object;
}

int compare(const Question& question, const Grid& deltas) {
  check_delta(question.delta);
  check_gap(question);
  const auto events = plan_of(question);
  const auto plotted = question.plot.empty() ? std::vector<double>{} : deltas.values();
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows{{"accountant", "ε at least", "ε at most", "gap", "ms"}};
  std::vector<std::string> reasons{""};
  std::vector<report::PrivacyCurve> curves;
  for (const std::string& name : accountants::fixed_schedule_accountant_names()) try {
      const Answer answer = epsilon_of(question, name, events, question.delta);
      list.push_back(to_json(answer, "epsilon"));
      const auto [lower, upper] = answer.bracket;
      rows.push_back(
          {name, lower > 0 ? shown(lower, false) : "–", shown(upper, true),
           lower > 0 && upper < INFINITY ? report::significant_up(100 * (upper - lower) / upper, 2) + " %" : "–",
           report::rounded(answer.milliseconds, 2)});
      reasons.push_back(wider_than_asked({answer}));
      report::PrivacyCurve curve{name, {}};
      for (const double delta : plotted)
        curve.points.push_back({delta, epsilon_of(question, name, events, delta).bracket});
      if (!plotted.empty()) curves.push_back(std::move(curve));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::configuration) throw;
      list.push_back({{"accountant", name},
                      {"epsilon", nullptr},
                      {"epsilon_lower", nullptr},
                      {"gap", nullptr},
                      {"gap_asked", nullptr},
                      {"gap_met", nullptr},
                      {"milliseconds", nullptr},
                      {"reason", error.what()}});
      rows.push_back({name, "", "", "", ""});
      reasons.push_back(error.what());
    }
  Json checked = cross_check(question, events, rows, reasons);
  Json object = describe(question);
  object["cross_check"] = std::move(checked);
  object["delta"] = question.delta;
  object["accountants"] = std::move(list);
  std::string text = cat(in_words(question), ", δ = ", report::exact(question.delta), ", ", relation_in_words(question),
                         "\n", with_reasons(table(rows, 1), reasons));
  if (!question.plot.empty()) {
    need(!curves.empty(), "no accountant has a bound for this plan: there is nothing to plot");
    write_file(question.plot, report::curve_page("What a plan costs, by accountant", facts(question), curves));
    object["plot"] = question.plot.string();
    text += cat("\nplot: ", question.plot.string());
  }
  print(question.json, object, text);
  return 0;
}

}  // namespace

void add_account_compare(CLI::App& account, Action& chosen) {
  const auto question = std::make_shared<Question>();
  const auto deltas = std::make_shared<Grid>();
  auto* command = account.add_subcommand("compare", "what each accountant says of a plan, and how long it takes");
  add_plan(*command, *question);
  add_delta(*command, *question);
  command->add_option("--gap", question->gap, "relative width of pld's bracket to aim for")->capture_default_str();
  add_plot(*command, *question);
  add_grid(*command, *deltas);
  add_relation(*command, *question);
  command->callback([=, &chosen] { chosen = [=] { return compare(*question, *deltas); }; });
}

}  // namespace sotto::app

#include <cmath>

#include "accountants/accountant.h"
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

int compare(const Question& question, const Grid& deltas) {
  check_delta(question.delta);
  check_gap(question);
  const auto events = plan_of(question);
  const auto plotted = question.plot.empty() ? std::vector<double>{} : deltas.values();
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows{{"accountant", "ε at least", "ε at most", "gap", "ms", ""}};
  std::vector<report::PrivacyCurve> curves;
  for (const std::string& name : accountants::fixed_schedule_accountant_names()) try {
      const Answer answer = epsilon_of(question, name, events, question.delta);
      list.push_back(to_json(answer, "epsilon"));
      const double gap = (answer.bracket.upper - answer.bracket.lower) / answer.bracket.upper;
      rows.push_back({name, shown(answer.bracket.lower, false), shown(answer.bracket.upper, true),
                      std::isfinite(gap) ? report::significant_up(100 * gap, 2) + " %" : "",
                      report::rounded(answer.milliseconds, 2), ""});
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
                      {"milliseconds", nullptr},
                      {"reason", error.what()}});
      rows.push_back({name, "", "", "", "", error.what()});
    }
  Json object = describe(question);
  object["delta"] = question.delta;
  object["accountants"] = std::move(list);
  std::string text = cat(in_words(question), ", δ = ", report::exact(question.delta), ", ", relation_in_words(question),
                         "\n", table(rows, 1));
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

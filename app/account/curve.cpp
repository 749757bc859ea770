#include "report/curve_page.h"

#include "app/account/answer.h"
#include "app/account/commands.h"
#include "app/account/grid.h"
#include "app/table.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

int curve(const Question& question, const Grid& deltas) {
  check_gap(question);
  const auto events = plan_of(question);
  const std::string accountant = accountant_for(question, events);
  report::PrivacyCurve found{accountant, {}};
  Json points = Json::array();
  std::vector<std::vector<std::string>> rows{{"δ", "ε at least", "ε at most", "ms"}};
  std::vector<Answer> answers;
  for (const double delta : deltas.values()) {
    const Answer answer = epsilon_of(question, accountant, events, delta);
    answers.push_back(answer);
    found.points.push_back({delta, answer.bracket});
    points.push_back(to_json(answer, "epsilon"));
    points.back()["delta"] = delta;
    rows.push_back({report::significant_up(delta, 3), report::significant_down(answer.bracket.lower, 5),
                    report::significant_up(answer.bracket.upper, 5), report::rounded(answer.milliseconds, 2)});
  }
  Json object = describe(question);
  object["accountant"] = accountant;
  object["curve"] = std::move(points);
  std::string text = table(rows, 0);
  if (const std::string wider = wider_than_asked(answers); !wider.empty()) text += cat("\n", wider);
  if (!question.plot.empty()) {
    write_file(question.plot, report::curve_page("What a plan costs", facts(question), {found}));
    object["plot"] = question.plot.string();
    text += cat("\nplot: ", question.plot.string());
  }
  print(question.json, object, text);
  return 0;
}

}  // namespace

void add_account_curve(CLI::App& account, Action& chosen) {
  const auto question = std::make_shared<Question>();
  const auto deltas = std::make_shared<Grid>();
  auto* command = account.add_subcommand("curve", "epsilon at many deltas");
  add_plan(*command, *question);
  add_grid(*command, *deltas);
  add_plot(*command, *question);
  add_accountant(*command, *question, "pld, rdp or another of `sotto account compare`; by default pld");
  command->add_option("--gap", question->gap, "relative width of pld's brackets to aim for")->capture_default_str();
  add_relation(*command, *question);
  command->callback([=, &chosen] { chosen = [=] { return curve(*question, *deltas); }; });
}

}  // namespace sotto::app

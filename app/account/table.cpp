#include "app/table.h"

#include <cmath>

#include "app/account/answer.h"
#include "app/account/commands.h"
#include "base/error.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

constexpr size_t kMostCells = 1000;

int print_table(const Question& question) {
  check_delta(question.delta);
  check_gap(question);
  check_sample_rate(question);
  need(!question.noise_multipliers.empty() && !question.steps.empty(),
       "--noise-multiplier and --steps each need a value or several, separated by commas");
  for (const double each : question.noise_multipliers) check_noise_multiplier(each);
  for (const int64_t each : question.steps) check_steps(each);
  const size_t cells = question.noise_multipliers.size() * question.steps.size();
  need(cells <= kMostCells, cat("a table has at most ", kMostCells, " cells, asked for ", cells));
  Json list = Json::array();
  std::vector<Answer> answers;
  std::vector<std::vector<std::string>> rows{{"noise multiplier"}};
  for (const int64_t steps : question.steps) rows.front().push_back(cat(report::counted(steps), " steps"));
  for (const double noise : question.noise_multipliers) {
    rows.push_back({report::exact(noise)});
    for (const int64_t steps : question.steps) {
      const accountants::EventList events{{step_of(question, noise, question.sample_rate), steps}};
      const Answer answer = epsilon_of(question, accountant_for(question, events), events, question.delta);
      answers.push_back(answer);
      list.push_back(to_json(answer, "epsilon"));
      list.back().update({{"noise_multiplier", noise}, {"steps", steps}});
      const double upper = answer.bracket.upper;
      rows.back().push_back(std::isfinite(upper) ? report::significant_up(upper, 4) : "none");
    }
  }
  Json object = describe(question);
  object["delta"] = question.delta;
  object["cells"] = std::move(list);
  const std::string wider = wider_than_asked(answers);
  print(question.json, object,
        cat("ε at most, at δ = ", report::exact(question.delta), ", sample rate ", report::exact(question.sample_rate),
            ", ", relation_in_words(question), "\n", table(rows, 0), wider.empty() ? "" : "\n", wider));
  return 0;
}

}  // namespace

void add_account_table(CLI::App& account, Action& chosen) {
  const auto question = std::make_shared<Question>();
  auto* command = account.add_subcommand("table", "epsilon over noise multipliers and steps");
  command->add_option("--noise-multiplier", question->noise_multipliers, "one or several, separated by commas")
      ->delimiter(',')
      ->required();
  command->add_option("--steps", question->steps, "one or several, separated by commas")->delimiter(',')->required();
  add_sample_rate(*command, *question);
  add_mechanism(*command, *question);
  add_delta(*command, *question);
  add_accountant(*command, *question, "pld, rdp or another of `sotto account compare`; by default pld");
  command->add_option("--gap", question->gap, "relative width of pld's brackets to aim for")->capture_default_str();
  add_relation(*command, *question);
  command->callback([=, &chosen] { chosen = [=] { return print_table(*question); }; });
}

}  // namespace sotto::app

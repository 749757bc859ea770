#include <cmath>

#include "app/account/answer.h"
#include "app/account/commands.h"
#include "base/error.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

constexpr const char* kAccountants =
    "pld: a bracket of the exact value, for a schedule fixed in advance; rdp: the bound that filters use; or another "
    "of `sotto account compare`. By default pld, and rdp for what pld does not know";

int print_answer(const Question& question, const Answer& answer, const std::string& name, Json object,
                 const std::string& words) {
  object.update(describe(question));
  object.update(to_json(answer, name));
  const std::string wider = wider_than_asked({answer});
  print(question.json, object,
        cat(words, ": ", in_words(question), " (", answer.accountant, ", ", relation_in_words(question), ")",
            wider.empty() ? "" : "\n", wider));
  return 0;
}

int epsilon(const Question& question) {
  check_delta(question.delta);
  check_gap(question);
  const auto events = plan_of(question);
  const Answer answer = epsilon_of(question, accountant_for(question, events), events, question.delta);
  need(std::isfinite(answer.bracket.upper),
       cat("the accountant ", answer.accountant,
           " has no finite epsilon for this plan; raise the noise multiplier or delta, or try another --accountant"));
  return print_answer(question, answer, "epsilon", {{"delta", question.delta}},
                      cat(in_words(answer.bracket, "ε", question.lower), " at δ = ", report::exact(question.delta)));
}

int delta(const Question& question) {
  need(question.epsilon >= 0 && std::isfinite(question.epsilon),
       cat("--epsilon must be finite and at least 0, got ", question.epsilon));
  check_gap(question);
  const auto events = plan_of(question);
  const Answer answer = delta_of(question, accountant_for(question, events), events, question.epsilon);
  return print_answer(question, answer, "delta", {{"epsilon", question.epsilon}},
                      cat(in_words(answer.bracket, "δ", question.lower), " at ε = ", report::exact(question.epsilon)));
}

}  // namespace

void add_account_bounds(CLI::App& account, Action& chosen) {
  const auto spend = std::make_shared<Question>();
  auto* command = account.add_subcommand("epsilon", "the epsilon that a plan spends");
  add_plan(*command, *spend);
  add_delta(*command, *spend);
  add_accountant(*command, *spend, kAccountants);
  add_bracket(*command, *spend);
  add_relation(*command, *spend);
  command->callback([spend, &chosen] { chosen = [spend] { return epsilon(*spend); }; });

  const auto fail = std::make_shared<Question>();
  command = account.add_subcommand("delta", "the delta at an epsilon");
  add_epsilon(*command, *fail, "the epsilon, at least 0");
  add_plan(*command, *fail);
  add_accountant(*command, *fail, kAccountants);
  add_bracket(*command, *fail);
  add_relation(*command, *fail);
  command->callback([fail, &chosen] { chosen = [fail] { return delta(*fail); }; });
}

}  // namespace sotto::app

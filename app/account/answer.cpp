#include "app/account/answer.h"

#include <chrono>
#include <cmath>

#include "accountants/accountant.h"
#include "base/error.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

template <class Ask>
Answer ask(const Question& question, const std::string& name, const accountants::EventList& events,
           const Ask& bracket) {
  const Clock clock;
  const auto accountant =
      accountants::make_fixed_schedule_accountant(name, question.neighbouring_relation(), question.gap);
  accountants::compose(*accountant, events);
  const accountants::Bracket found = bracket(*accountant);
  return {name, found, clock.milliseconds(), accountants::aims_at_a_gap(name) ? question.gap : 0};
}

double relative_gap(const accountants::Bracket& bracket) {
  if (bracket.upper == bracket.lower) return 0;
  return std::isfinite(bracket.upper) ? (bracket.upper - bracket.lower) / bracket.upper : 1;
}

}  // namespace

bool Answer::gap_met() const {
  return relative_gap(bracket) <= gap_asked;
}

Clock::Clock() : start_(now()) {}

double Clock::milliseconds() const {
  return 1e-6 * static_cast<double>(now() - start_);
}

std::string accountant_for(const Question& question, const accountants::EventList& events) {
  if (!question.accountant.empty()) return question.accountant;
  for (const char* name : {"pld", "rdp"})
    if (accountants::supports(*accountants::make_fixed_schedule_accountant(name, question.neighbouring_relation()),
                              events))
      return name;
  return "pld";  // which says what it has no bound for
}

Answer epsilon_of(const Question& question, const std::string& accountant, const accountants::EventList& events,
                  double delta) {
  return ask(question, accountant, events, [&](const auto& each) { return each.epsilon_bracket(delta); });
}

Answer delta_of(const Question& question, const std::string& accountant, const accountants::EventList& events,
                double epsilon) {
  return ask(question, accountant, events, [&](const auto& each) { return each.delta_bracket(epsilon); });
}

Json to_json(const accountants::Bracket& bracket, const std::string& name) {
  return {{name, number(bracket.upper)},
          {name + "_lower", number(bracket.lower)},
          {"gap", number(bracket.upper - bracket.lower)}};
}

Json to_json(const Answer& answer, const std::string& name) {
  Json object = to_json(answer.bracket, name);
  object["accountant"] = answer.accountant;
  object["gap_asked"] = answer.gap_asked > 0 ? Json(answer.gap_asked) : Json(nullptr);
  object["gap_met"] = answer.gap_asked > 0 ? Json(answer.gap_met()) : Json(nullptr);
  object["milliseconds"] = answer.milliseconds;
  return object;
}

std::string wider_than_asked(const std::vector<Answer>& answers) {
  size_t wider = 0;
  double widest = 0, asked = 0;
  for (const Answer& answer : answers)
    if (answer.gap_asked > 0 && !answer.gap_met()) {
      ++wider;
      widest = std::max(widest, relative_gap(answer.bracket));
      asked = answer.gap_asked;
    }
  if (wider == 0) return "";
  const std::string many = answers.size() == 1 ? "the bracket is" : cat(wider, " of ", answers.size(), " brackets are");
  return cat("wider than asked: ", many, answers.size() == 1 ? " " : " up to ", report::significant_up(widest, 2),
             " of its upper end wide, asked --gap ", report::exact(asked), "; both ends hold");
}

std::string in_words(const accountants::Bracket& bracket, const std::string& sign, bool lower) {
  const std::string upper = cat(sign, " ≤ ", report::significant_up(bracket.upper, 5));
  return lower ? cat(report::significant_down(bracket.lower, 5), " ≤ ", upper) : upper;
}

}  // namespace sotto::app

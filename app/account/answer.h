#pragma once
#include <string>
#include <vector>

#include "accountants/bracket.h"
#include "accountants/event_list.h"
#include "app/account/question.h"

namespace sotto::app {

struct Answer {
  std::string accountant;
  accountants::Bracket bracket;
  double milliseconds;
  double gap_asked;  // relative; 0 for accountants that aim at none

  bool gap_met() const;
};

// The accountant that was asked for; otherwise the narrowest that has a bound for the events, pld before rdp.
std::string accountant_for(const Question& question, const accountants::EventList& events);

// What the events cost: ε at a δ, or δ at an ε.
Answer epsilon_of(const Question& question, const std::string& accountant, const accountants::EventList& events,
                  double delta);
Answer delta_of(const Question& question, const std::string& accountant, const accountants::EventList& events,
                double epsilon);

// NAME, NAME_lower, gap, gap_asked, gap_met and milliseconds; an infinite number is null, as are the two where no gap
// was aimed at.
Json to_json(const Answer& answer, const std::string& name);
// Likewise without the time, for an answer's sides that come from elsewhere.
Json to_json(const accountants::Bracket& bracket, const std::string& name);

// "1.234 ≤ ε ≤ 1.235", or its right half.
std::string in_words(const accountants::Bracket& bracket, const std::string& sign, bool lower);

// What to say of brackets that are wider than asked; nothing where none is.
std::string wider_than_asked(const std::vector<Answer>& answers);

// Milliseconds since it was made.
class Clock {
 public:
  Clock();
  double milliseconds() const;

 private:
  int64_t start_;  // nanoseconds
};

}  // namespace sotto::app

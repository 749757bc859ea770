#pragma once
#include <string>
#include <vector>

#include "report/certificate.h"

namespace sotto::report {

// The guarantee in one plain sentence: unit, neighbouring relation, epsilon, delta. For a run that is not private it
// says that nothing is guaranteed.
std::string guarantee_sentence(const Certificate& certificate);

// Why a run was given no more steps: what is proved about more of them.
std::string refusal_sentence(const accountants::RefusedSteps& refused, double epsilon_allowed);

// What the relation keeps from everyone, to follow "everything except".
std::string secret(const Certificate& certificate);

// What someone who believes with probability `prior` that the secret is so can believe at most after seeing
// everything released: prior·e^ε / (1 − prior + prior·e^ε). Under (ε, δ) the run equals one that keeps this bound,
// except with a probability of at most δ (Vadhan, The Complexity of Differential Privacy, 2017, §1.6).
double belief_after(double prior, double epsilon);

// The best chance of telling the secret, from an even prior: (e^ε + δ) / (1 + e^ε).
double best_guess(double epsilon, double delta);

// How a reader may rate the epsilon, with its source.
std::string rating(double epsilon);

struct Explained {
  std::string what, why;
};

// One entry a name, in order; a name that is not known explains itself.
std::vector<Explained> explain_not_covered(const std::vector<std::string>& names);
std::vector<Explained> explain_unsafe(const std::vector<std::string>& names);

}  // namespace sotto::report

#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "accountants/bracket.h"
#include "accountants/event_list.h"

namespace sotto::accountants {

// The most that a plan may cost, and who says so: a name in fixed_schedule_accountant_names().
struct Target {
  double epsilon, delta;
  std::string accountant = "rdp";
  NeighbouringRelation relation = NeighbouringRelation::add_remove;
};

// Throws configuration unless epsilon is finite and above 0 and 0 < delta < 1.
void validate(const Target& target);

// What of a plan is free. ε never falls as the value grows, or (more_costs_less) never grows.
struct Parameter {
  double least, most;                     // the range to search, both ends positive and included
  std::function<EventList(double)> plan;  // the whole plan at a value
  bool more_costs_less = false;
  bool whole = false;                // whole numbers only
  double relative_tolerance = 1e-4;  // otherwise: how near `fits` and `fails` come to each other
  double guess = 1;
};

struct Trial {
  double value;
  Bracket epsilon;
};

// fits.epsilon.upper ≤ target, always; no trial that did not meet it is ever called fitting. `fails` is a value on the
// costly side that the accountant could not let pass: its upper end exceeds the target. Where its lower end does, too,
// that is a proof that no accountant could; "rdp" has no lower ends. The two are next to each other (whole numbers) or
// within the tolerance, or as near as the accountant's narrowest brackets tell values apart. `fits` is absent where
// even the cheapest end of the range fails, `fails` where even the costliest fits.
struct Calibration {
  std::optional<Trial> fits, fails;
  int evaluations;
};

// Throws configuration where the target is not valid, invalid_argument unless 0 < least ≤ guess ≤ most < ∞ and 1e-9 ≤
// relative_tolerance < 1, and what the accountant throws.
Calibration calibrate(const Target& target, const Parameter& parameter);

// How many uses of an event; the probability with which a unit is in a step's batch; the mean batch of `units` units.
Parameter steps_parameter(const Event& step);
// The latter two for steps of any kind, by sample rate; a higher one must never cost less.
Parameter sample_rate_parameter(int64_t steps, const std::function<Event(double sample_rate)>& step);
Parameter batch_parameter(int64_t steps, int64_t units, const std::function<Event(double sample_rate)>& step);
// The noise of steps of any kind, by noise multiplier; more noise must never cost more.
Parameter noise_parameter(int64_t steps, const std::function<Event(double noise_multiplier)>& step);

// The least Gaussian noise for which `steps` Poisson-sampled steps under add_remove cost at most target_epsilon at
// delta. The accountant's epsilon of the returned value never exceeds the target, and no value 1e-4 relative below it
// would do. Throws configuration when the target cannot be reached (or needs no noise to speak of), naming what it
// would take.
double noise_multiplier_for(double target_epsilon, double delta, double sample_rate, int64_t steps,
                            std::string_view accountant_name = "rdp");

// The same for steps of another kind, and with both sides of the answer.
double noise_multiplier_for(double target_epsilon, double delta, int64_t steps,
                            const std::function<Event(double noise_multiplier)>& step,
                            std::string_view accountant_name = "rdp");
Calibration least_noise(const Target& target, int64_t steps, const std::function<Event(double noise_multiplier)>& step);

// The largest number of steps whose epsilon is at most target_epsilon; 0 when even one costs more. Throws configuration
// when 10^15 steps still fit.
int64_t max_steps(double target_epsilon, double delta, double noise_multiplier, double sample_rate,
                  std::string_view accountant_name = "rdp");
Calibration most_steps(const Target& target, const Event& step);

}  // namespace sotto::accountants

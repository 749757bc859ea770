#include "accountants/calibrate.h"

#include <cmath>

#include "accountants/accountant.h"
#include "accountants/search.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kLeastNoise = 1e-3, kMostNoise = 1e8, kLeastRate = 1e-12, kMostSteps = 1e15;

void check(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorKind::configuration, message);
}

void check_steps(int64_t steps) {
  check(steps > 0, cat("steps must be at least 1, got ", steps));
}

}  // namespace

void validate(const Target& target) {
  check(std::isfinite(target.epsilon) && target.epsilon > 0,
        cat("the target epsilon must be finite and above 0, got ", target.epsilon));
  check(target.delta > 0 && target.delta < 1, cat("delta must be above 0 and below 1, got ", target.delta));
}

Calibration calibrate(const Target& target, const Parameter& parameter) {
  validate(target);
  require(parameter.least > 0 && parameter.least <= parameter.guess && parameter.guess <= parameter.most &&
              std::isfinite(parameter.most),
          "a parameter's range must be positive and hold the guess, got ", parameter.least, " ≤ ", parameter.guess,
          " ≤ ", parameter.most);
  require(parameter.relative_tolerance >= 1e-9 && parameter.relative_tolerance < 1,
          "the tolerance must be at least 1e-9 and below 1, got ", parameter.relative_tolerance);
  int evaluations = 0;
  const auto search_with = [&](const std::string& accountant_name, const Parameter& wanted, double guess) {
    return search(wanted, guess, target.epsilon, [&](double value, double gap) {
      const auto accountant = make_fixed_schedule_accountant(accountant_name, target.relation, gap);
      compose(*accountant, parameter.plan(value));
      ++evaluations;
      return accountant->epsilon_bracket(target.delta);
    });
  };
  double guess = parameter.guess;
  // RDP's answer costs a fraction of a millisecond and is 5 to 30 % off: no costly bracket is spent far away.
  const auto rdp = make_fixed_schedule_accountant("rdp", target.relation);
  if (target.accountant != "rdp" && supports(*rdp, parameter.plan(guess))) {
    Parameter roughly = parameter;
    roughly.whole = false;
    roughly.relative_tolerance = 0.05;
    const Calibration rough = search_with("rdp", roughly, guess);
    guess = rough.fits ? rough.fits->value : rough.fails->value;
  }
  Calibration found = search_with(target.accountant, parameter, guess);
  found.evaluations = evaluations;
  return found;
}

Parameter steps_parameter(const Event& step) {
  Parameter parameter{1, kMostSteps, {}};
  parameter.whole = true;
  parameter.plan = [step](double steps) { return EventList{{step, static_cast<int64_t>(steps)}}; };
  return parameter;
}

Parameter sample_rate_parameter(int64_t steps, const std::function<Event(double sample_rate)>& step) {
  check_steps(steps);
  Parameter parameter{kLeastRate, 1, {}};
  parameter.guess = 0.01;
  parameter.plan = [=](double rate) { return EventList{{step(rate), steps}}; };
  return parameter;
}

Parameter batch_parameter(int64_t steps, int64_t units, const std::function<Event(double sample_rate)>& step) {
  check_steps(steps);
  check(units > 0 && units <= static_cast<int64_t>(kMostSteps),
        cat("the number of units must be from 1 to 10^15, got ", units));
  const double all = static_cast<double>(units);
  Parameter parameter{1, all, {}};
  parameter.guess = std::ceil(0.01 * all);
  parameter.whole = true;
  parameter.plan = [=](double batch) { return EventList{{step(batch / all), steps}}; };
  return parameter;
}

Parameter noise_parameter(int64_t steps, const std::function<Event(double noise_multiplier)>& step) {
  check_steps(steps);
  Parameter parameter{kLeastNoise, kMostNoise, {}};
  parameter.more_costs_less = true;
  parameter.plan = [=](double noise) { return EventList{{step(noise), steps}}; };
  return parameter;
}

Calibration least_noise(const Target& target, int64_t steps,
                        const std::function<Event(double noise_multiplier)>& step) {
  const Calibration found = calibrate(target, noise_parameter(steps, step));
  if (!found.fits)
    check(false, cat("no noise reaches epsilon ", target.epsilon, " at delta ", target.delta, " with ", steps,
                     " steps: a noise_multiplier of ", found.fails->value, " still costs ", found.fails->epsilon.upper,
                     "; allow a larger epsilon or delta, or take fewer steps"));
  if (!found.fails)
    check(false, cat("epsilon ", target.epsilon, " is so loose that a noise_multiplier of ", found.fits->value,
                     " reaches it; ask for a smaller epsilon"));
  return found;
}

double noise_multiplier_for(double target_epsilon, double delta, double sample_rate, int64_t steps,
                            std::string_view accountant_name) {
  check(sample_rate > 0 && sample_rate <= 1, cat("sample_rate must be above 0 and at most 1, got ", sample_rate));
  return noise_multiplier_for(
      target_epsilon, delta, steps,
      [&](double noise_multiplier) {
        return Event{PoissonSampledGaussian{noise_multiplier, sample_rate}};
      },
      accountant_name);
}

double noise_multiplier_for(double target_epsilon, double delta, int64_t steps,
                            const std::function<Event(double noise_multiplier)>& step,
                            std::string_view accountant_name) {
  return least_noise({target_epsilon, delta, std::string(accountant_name)}, steps, step).fits->value;
}

Calibration most_steps(const Target& target, const Event& step) {
  const Calibration found = calibrate(target, steps_parameter(step));
  check(found.fails.has_value(), cat("epsilon ", target.epsilon, " is not spent after 10^15 steps of ", to_json(step),
                                     "; there is nothing to limit"));
  return found;
}

int64_t max_steps(double target_epsilon, double delta, double noise_multiplier, double sample_rate,
                  std::string_view accountant_name) {
  const Calibration found = most_steps({target_epsilon, delta, std::string(accountant_name)},
                                       {PoissonSampledGaussian{noise_multiplier, sample_rate}});
  return found.fits ? static_cast<int64_t>(found.fits->value) : 0;
}

}  // namespace sotto::accountants

#include "accountants/calibrate.h"

#include <cmath>

#include "accountants/accountant.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kGap = 1e-5;  // a tenth of what the noise is found to
constexpr double kLeastNoise = 1e-3, kMostNoise = 1e8;
constexpr int64_t kMostSteps = 1'000'000'000'000'000;

void check(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorKind::configuration, message);
}

double cost(std::string_view accountant_name, const Event& step, int64_t steps, double delta) {
  const auto accountant = make_fixed_schedule_accountant(accountant_name, NeighbouringRelation::add_remove, kGap);
  accountant->compose(step, steps);
  return accountant->epsilon(delta);
}

void check_target(double target_epsilon, double delta) {
  check(std::isfinite(target_epsilon) && target_epsilon > 0,
        cat("the target epsilon must be finite and above 0, got ", target_epsilon));
  check(delta > 0 && delta < 1, cat("delta must be above 0 and below 1, got ", delta));
}

}  // namespace

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
  check_target(target_epsilon, delta);
  check(steps > 0, cat("steps must be at least 1, got ", steps));
  const auto fits = [&](double noise) { return cost(accountant_name, step(noise), steps, delta) <= target_epsilon; };

  // `enough` fits and `little` does not, always; only `enough` is ever returned.
  double enough = 1, little = 1;
  if (fits(1)) {
    for (little = 0.5; fits(little); little /= 2) {
      enough = little;
      check(little > kLeastNoise, cat("epsilon ", target_epsilon, " is so loose that a noise_multiplier of ", little,
                                      " reaches it; ask for a smaller epsilon"));
    }
  } else {
    for (enough = 2; !fits(enough); enough *= 2) {
      little = enough;
      check(enough < kMostNoise, cat("no noise reaches epsilon ", target_epsilon, " at delta ", delta, " with ", steps,
                                     " steps: a noise_multiplier of ", enough, " still costs ",
                                     cost(accountant_name, step(enough), steps, delta),
                                     "; allow a larger epsilon or delta, or take fewer steps"));
    }
  }
  while (enough > little * (1 + 5e-5)) {
    const double middle = std::sqrt(enough * little);
    (fits(middle) ? enough : little) = middle;
  }
  return enough;
}

int64_t max_steps(double target_epsilon, double delta, double noise_multiplier, double sample_rate,
                  std::string_view accountant_name) {
  check_target(target_epsilon, delta);
  const auto fits = [&](int64_t steps) {
    return cost(accountant_name, {PoissonSampledGaussian{noise_multiplier, sample_rate}}, steps, delta) <=
           target_epsilon;
  };
  if (!fits(1)) return 0;
  int64_t most = 1, too_many = 2;
  for (; fits(too_many); too_many *= 2) {
    most = too_many;
    check(too_many < kMostSteps,
          cat("epsilon ", target_epsilon, " is not spent after 10^15 steps at noise_multiplier ", noise_multiplier,
              " and sample_rate ", sample_rate, "; there is nothing to limit"));
  }
  while (too_many - most > 1) {
    const int64_t middle = most + (too_many - most) / 2;
    (fits(middle) ? most : too_many) = middle;
  }
  return most;
}

}  // namespace sotto::accountants

#include "accountants/group.h"

#include <cmath>
#include <limits>
#include <variant>

#include "accountants/directed.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kMostEpsilon = 1e5;

void check_size(int64_t size) {
  require(size >= 1 && size <= int64_t{1} << 30, "a group has between 1 and 2^30 units, got ", size);
}

double divide_down(double a, double b) {
  const double quotient = a / b;
  return b == 1 ? quotient : std::nextafter(quotient, 0.0);
}

struct ForGroup {
  double size;
  int64_t count;

  template <class Mechanism>
  std::optional<Event> operator()(const Mechanism&) const {
    return std::nullopt;
  }
  std::optional<Event> operator()(const Gaussian& e) const {
    return Event{Gaussian{divide_down(e.noise_multiplier, size)}};
  }
  std::optional<Event> operator()(const Laplace& e) const {
    return Event{Laplace{divide_down(e.noise_multiplier, size)}};
  }
  std::optional<Event> operator()(const DiscreteGaussian& e) const {
    if (e.sensitivity > (int64_t{1} << 53) / count) return std::nullopt;
    return Event{DiscreteGaussian{e.sigma, e.sensitivity * count}};
  }
  std::optional<Event> operator()(const DiscreteLaplace& e) const {
    if (e.sensitivity > (int64_t{1} << 53) / count) return std::nullopt;
    return Event{DiscreteLaplace{e.scale, e.sensitivity * count}};
  }
  std::optional<Event> operator()(const Skellam& e) const {
    return Event{Skellam{e.variance, times_up(size, e.l1_sensitivity), times_up(size, e.l2_sensitivity)}};
  }
  std::optional<Event> operator()(const EpsilonDelta& e) const {
    if (e.delta > 0) return std::nullopt;
    return Event{EpsilonDelta{times_up(size, e.epsilon), 0}};
  }
};

// log of (e^{kε} − 1) / (e^ε − 1), rounded up.
double log_growth(double size, double epsilon) {
  const auto log_expm1 = [](double x) { return x > 40 ? x : std::log(std::expm1(x)); };
  return epsilon == 0 ? std::log(size) : (log_expm1(size * epsilon) - log_expm1(epsilon)) * (1 + 1e-14) + 1e-14;
}

}  // namespace

std::optional<Event> group_event(const Event& event, int64_t size) {
  check_size(size);
  validate(event);
  if (size == 1) return event;
  return std::visit(ForGroup{static_cast<double>(size), size}, event.mechanism);
}

double group_epsilon(const Accountant& accountant, int64_t size, double delta) {
  check_size(size);
  require(delta > 0 && delta < 1, "delta must be above 0 and below 1, got ", delta);
  const double k = static_cast<double>(size);
  const auto holds = [&](double epsilon) {
    const double one = accountant.delta(epsilon);
    return one == 0 || std::log(one) + log_growth(k, epsilon) <= std::log(delta) - 1e-14 * std::abs(std::log(delta));
  };
  if (holds(0)) return 0;
  // δ falls and its factor grows with ε: what holds at one ε need not at a larger one. The first that does is taken.
  double fails = 0, fits = 1e-6;
  while (!holds(fits)) {
    fails = fits;
    fits *= 1.25;
    if (fits * k > kMostEpsilon) return std::numeric_limits<double>::infinity();
  }
  for (int i = 0; i < 60 && fits > fails * (1 + 1e-10); ++i) {
    const double middle = (fails + fits) / 2;
    (holds(middle) ? fits : fails) = middle;
  }
  return times_up(k, fits);
}

}  // namespace sotto::accountants

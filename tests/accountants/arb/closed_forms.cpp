#include "tests/accountants/arb/closed_forms.h"

#include <cmath>
#include <utility>

namespace sotto::accountants {
namespace {

Ball normal_below(const Ball& x) {
  return erfc(-x / sqrt(Ball(2))) / 2;
}

// `weight` falls from 0 on, and by at least `ratio` from one integer to the next beyond `reach`.
Truth true_discrete(const std::function<Ball(int)>& weight, int shift, int reach, const Ball& ratio) {
  const Ball tail = Ball::up_to(weight(reach + 1) / (1 - ratio));  // Σ_{y > reach} weight(y)
  Ball total = tail + tail + weight(0);
  for (int y = 1; y <= reach; ++y) total += weight(y) * 2;
  return [=](const Ball& epsilon) {
    const Ball factor = exp(epsilon);
    Ball sum = tail;  // y > reach + shift; below −reach nothing is left over, as P(y − shift) ≤ P(y) there
    for (int y = -reach; y <= reach + shift; ++y)
      sum += larger(Ball(0), weight(std::abs(y - shift)) - factor * weight(std::abs(y)));
    return sum / total;
  };
}

}  // namespace

Truth true_gaussian(const Ball& mu) {
  return [=](const Ball& epsilon) {
    return normal_below(mu / 2 - epsilon / mu) - exp(epsilon) * normal_below(-mu / 2 - epsilon / mu);
  };
}

Truth true_laplace(const Ball& scale) {
  return [=](const Ball& epsilon) { return larger(Ball(0), -expm1((epsilon - 1 / scale) / 2)); };
}

Truth true_discrete_gaussian(double sigma, int shift) {
  const Ball twice = Ball(sigma) * sigma * 2;
  const int reach = static_cast<int>(30 * sigma) + 1;
  return true_discrete([=](int y) { return exp(-Ball(y) * y / twice); }, shift, reach, exp(-Ball(2 * reach) / twice));
}

Truth true_discrete_laplace(double scale, int shift) {
  return true_discrete([=](int y) { return exp(-Ball(y) / scale); }, shift, static_cast<int>(300 * scale) + 1,
                       exp(-1 / Ball(scale)));
}

Truth sampled_remove(Truth whole, double rate) {
  return [whole = std::move(whole), rate](const Ball& epsilon) { return rate * whole(log(1 + expm1(epsilon) / rate)); };
}

Truth sampled_add(Truth whole, double rate) {
  return [whole = std::move(whole), rate](const Ball& epsilon) {
    const Ball rest = 1 - (1 - Ball(rate)) * exp(epsilon);
    return rest.at_most(0) ? Ball(0) : rest * whole(log(rate * exp(epsilon) / rest));
  };
}

Truth sampled(const Truth& whole, double rate) {
  return [remove = sampled_remove(whole, rate), add = sampled_add(whole, rate)](const Ball& epsilon) {
    return larger(remove(epsilon), add(epsilon));
  };
}

}  // namespace sotto::accountants

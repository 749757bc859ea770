#include "tests/accountants/arb/composition.h"

#include <algorithm>
#include <cmath>

namespace sotto::accountants {
namespace {

Ball power(const Ball& base, uint64_t count) {
  Ball found;
  arb_pow_ui(found.get(), base.get(), count, Ball::kBits);
  return found;
}

}  // namespace

TrueComposition::TrueComposition(const Ball& step) : step_(step) {
  arb_poly_init(masses_);
  arb_poly_one(masses_);
}

void TrueComposition::add(const std::vector<Ball>& masses, const Ball& first, uint64_t count) {
  arb_poly_t use;
  arb_poly_init(use);
  for (size_t i = 0; i < masses.size(); ++i) arb_poly_set_coeff_arb(use, static_cast<slong>(i), masses[i].get());
  arb_poly_pow_ui(use, use, count, Ball::kBits);
  arb_poly_mul(masses_, masses_, use, Ball::kBits);
  arb_poly_clear(use);
  first_ += first * static_cast<double>(count);
  tails_.clear();
}

void TrueComposition::add(const LossAtoms& atoms, uint64_t count) {
  const std::vector<Ball> masses(atoms.mass.begin(), atoms.mass.end());
  add(masses, Ball(atoms.offset) + step_ * static_cast<double>(atoms.first), count);
  none_infinite_ *= power(1 - Ball(atoms.at_infinity), count);
}

void TrueComposition::sum_up() const {
  const auto size = static_cast<size_t>(arb_poly_length(masses_));
  tails_.resize(size + 1);
  shrunk_.resize(size + 1);
  const Ball fall = exp(-step_);
  for (size_t i = size; i-- > 0;) {
    Ball mass;
    arb_poly_get_coeff_arb(mass.get(), masses_, static_cast<slong>(i));
    tails_[i] = tails_[i + 1] + mass;
    shrunk_[i] = shrunk_[i + 1] * fall + mass;
  }
}

Ball TrueComposition::delta(const Ball& epsilon) const {
  if (tails_.empty()) sum_up();
  const size_t top = tails_.size() - 1;
  // The losses that are not for certain at most ε: one that equals it adds nothing.
  const double guess = ((epsilon - first_) / step_).middle();
  auto i = static_cast<size_t>(std::clamp(guess, 0.0, static_cast<double>(top)));
  while (i < top && (level(i) - epsilon).at_most(0)) ++i;
  while (i > 0 && !(level(i - 1) - epsilon).at_most(0)) --i;
  return tails_[i] - exp(epsilon - level(i)) * shrunk_[i] + (1 - none_infinite_);
}

}  // namespace sotto::accountants

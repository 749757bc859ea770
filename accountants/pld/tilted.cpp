#include "accountants/pld/tilted.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/numerics.h"
#include "base/instruction_set.h"

namespace sotto::accountants {
namespace {

constexpr size_t kBlock = 64;

// weights[i] = mass[i] e^{s · loss(i)}; returns their sum. One exponential a block and a table within it.
SOTTO_VECTORISED double tilt_block(const double* __restrict mass, const double* __restrict power, double first,
                                   size_t count, double* __restrict weights) {
  double sum = 0;
  for (size_t j = 0; j < count; ++j) {
    weights[j] = mass[j] * first * power[j];
    sum += weights[j];
  }
  return sum;
}

constexpr double kSteepest = 1e10;
constexpr double kLargestPower = 600;  // e^power and sums of some are doubles

// What powers s · loss are lowered by, so that the largest is a double's exponent: what underflows then was e^−640 of
// the sum, as masses are above 1e-290.
double lowered_by(const LossAtoms& atoms, double s) {
  if (atoms.mass.empty()) return 0;
  return std::max(0.0, std::max(s * atoms.loss(0), s * atoms.loss(atoms.mass.size() - 1)) - kLargestPower);
}

template <class Take>
double tilted(const LossAtoms& atoms, double s, double lowered, Take take) {
  double power[kBlock], weights[kBlock];
  for (size_t j = 0; j < kBlock; ++j) power[j] = std::exp(s * static_cast<double>(j) * atoms.step);
  long double sum = 0;
  for (size_t first = 0; first < atoms.mass.size(); first += kBlock) {
    const size_t count = std::min(kBlock, atoms.mass.size() - first);
    const double at = std::exp(s * atoms.loss(first) - lowered);
    if (power[count - 1] < kSteepest) {
      sum += tilt_block(atoms.mass.data() + first, power, at, count, weights);
    } else {  // so steep that a block's first weight may be none where its last is one
      for (size_t j = 0; j < count; ++j)
        sum += weights[j] = atoms.mass[first + j] * std::exp(s * atoms.loss(first + j) - lowered);
    }
    take(first, count, weights);
  }
  return static_cast<double>(sum);
}

double sum_of(const LossAtoms& atoms, double s, double lowered) {
  return tilted(atoms, s, lowered, [](size_t, size_t, const double*) {});
}

double largest_loss(const LossAtoms& atoms) {
  return atoms.mass.empty() ? 0 : std::max(std::abs(atoms.loss(0)), std::abs(atoms.loss(atoms.mass.size() - 1)));
}

}  // namespace

namespace {

double put(const LossAtoms& atoms, double theta, double lowered, double scale, std::vector<double>& out) {
  std::fill(out.begin(), out.end(), 0.0);
  return tilted(atoms, theta, lowered, [&](size_t first, size_t count, const double* weights) {
    for (size_t j = 0; j < count; ++j)
      out[static_cast<size_t>(atoms.first + static_cast<int64_t>(first + j)) & (out.size() - 1)] += weights[j] * scale;
  });
}

}  // namespace

void tilt_into(const LossAtoms& atoms, double theta, std::vector<double>& out) {
  const double lowered = lowered_by(atoms, theta);
  put(atoms, theta, lowered, 1 / sum_of(atoms, theta, lowered), out);
}

double tilt_raw_into(const LossAtoms& atoms, double theta, std::vector<double>& out) {
  return put(atoms, theta, 0, 1, out);
}

double tilted_mass(const LossAtoms& atoms, double s) {
  return sum_of(atoms, s, 0);
}

double cumulant(const LossAtoms& atoms, double s) {
  const double lowered = lowered_by(atoms, s);
  return lowered + std::log(sum_of(atoms, s, lowered));
}

double cumulant_error(const LossAtoms& atoms, double s) {
  return kUnit * (100 + 6 * std::abs(s) * largest_loss(atoms));
}

}  // namespace sotto::accountants

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

template <class Take>
double tilted(const LossAtoms& atoms, double s, Take take) {
  double power[kBlock], weights[kBlock];
  for (size_t j = 0; j < kBlock; ++j) power[j] = std::exp(s * static_cast<double>(j) * atoms.step);
  long double sum = 0;
  for (size_t first = 0; first < atoms.mass.size(); first += kBlock) {
    const size_t count = std::min(kBlock, atoms.mass.size() - first);
    sum += tilt_block(atoms.mass.data() + first, power, std::exp(s * atoms.loss(first)), count, weights);
    take(first, count, weights);
  }
  return static_cast<double>(sum);
}

double largest_loss(const LossAtoms& atoms) {
  return atoms.mass.empty() ? 0 : std::max(std::abs(atoms.loss(0)), std::abs(atoms.loss(atoms.mass.size() - 1)));
}

}  // namespace

void tilt_into(const LossAtoms& atoms, double theta, std::vector<double>& out) {
  std::fill(out.begin(), out.end(), 0.0);
  const double scale = std::exp(-cumulant(atoms, theta));
  tilted(atoms, theta, [&](size_t first, size_t count, const double* weights) {
    for (size_t j = 0; j < count; ++j)
      out[static_cast<size_t>(atoms.first + static_cast<int64_t>(first + j)) & (out.size() - 1)] += weights[j] * scale;
  });
}

double cumulant(const LossAtoms& atoms, double s) {
  return std::log(tilted(atoms, s, [](size_t, size_t, const double*) {}));
}

double cumulant_error(const LossAtoms& atoms, double s) {
  return kUnit * (100 + 6 * std::abs(s) * largest_loss(atoms));
}

}  // namespace sotto::accountants

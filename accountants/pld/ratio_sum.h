#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sotto::accountants {

// Masses of a random variable X ≥ 0 at ascending values.
struct RatioLaw {
  std::vector<double> value, mass;
  double cumulant(double theta) const;  // log E e^{θX}
  double slope(double theta) const;     // E X e^{θX} / E e^{θX}
};

// X onto j · h, j = first, first + 1, …; the masses' mean is X's, and their law is a mean-preserving spread of X's.
RatioLaw spread_onto_lattice(const RatioLaw& law, double h);
// Onto the same lattice, a law of the same mean of which X is a mean-preserving spread, up to 1e-11 of each E max(0, X
// − a). Empty where h is too large for one.
RatioLaw contract_onto_lattice(const RatioLaw& law, double h);

// Masses of the sum of `count` independent X at the values (first + i) · h of a window of `size` (a power of two)
// values; `weighted`: each times the mean of one of the X given the sum, which is sum / count, as precisely. Each is
// off by at most error_above, error_below, which bound rounding; what lies outside the window is folded into it.
struct RatioSums {
  std::vector<double> above, below;
  double error_above, error_below;
};
// Of two laws on the lattice at once.
RatioSums sums_of_ratios(const RatioLaw& above, const RatioLaw& below, double h, int64_t count, bool weighted,
                         int64_t first, size_t size);

}  // namespace sotto::accountants

#pragma once
#include "base/view.h"
#include "cuda/exec.h"
#include "kernels/lattice/uint128.h"

namespace sotto::kernels {

// Clipped gradients as integers. Sample i's gradient g_i, of all parameters, becomes x_i = round(g_i · (f_i / step)),
// and the sum is Σ_i x_i in int64: nothing rounds in it, so that it has the same bits for any order, cut or number of
// threads. What the sum may move by is an integer, too: no sample is added whose ‖x_i‖², computed exactly over all
// parameters, is above `squared_bound`. The noise is that of discrete_gaussian.h with k = 2^kLatticeScale.
struct Lattice {
  Uint128 squared_bound = 0;  // in lattice points; 0: there is no lattice
  double step = 0;            // a lattice point, in the gradients' unit
};

// Fine enough that rounding a gradient of 10⁹ entries costs a millionth of the clip norm, coarse enough for int64.
inline constexpr int kLatticeScale = 40;

// Noise multipliers between these have a lattice: below, a gradient would not be a whole number in a double.
inline constexpr double kSmallestLatticeNoise = 0x1p-10, kLargestLatticeNoise = 0x1p30;

// The largest squared norm, up to 2^-47, that the noise's standard deviation is `noise_multiplier` times the root of.
Uint128 lattice_bound(double noise_multiplier);
// Standard deviation of the noise ÷ sqrt(squared_bound), rounded down.
double lattice_noise_multiplier(Uint128 squared_bound);
// The step at which squared_bound is clip_norm², rounded down: step · sqrt(squared_bound) ≤ clip_norm.
double lattice_step(Uint128 squared_bound, double clip_norm);
// How many samples of that norm, with noise, certainly fit into int64.
int64_t lattice_capacity(Uint128 squared_bound);

// How a sample's entries become integers; ties go to the even neighbour. A dropped sample counts as 0.
enum class Rounding : signed char { nearest, toward_zero, dropped };

// squared[i] += Σ_j x[i][j]², exactly, x as accumulate_on_lattice adds it. Stays at kLargestUint128 once it is there:
// where it would pass that, and where an entry is NaN, infinite or above 2^50.
void accumulate_lattice_norms(const Exec& exec, MatrixView<const float> rows, VectorView<const float> factors,
                              VectorView<const Rounding> roundings, double step, VectorView<Uint128> squared);

// Where squared[i] is above the bound, a sample that was rounded to nearest is from now on rounded towards zero, and
// one that was rounded towards zero is dropped. Returns how many changed: when it is none, all are within the bound.
// Both arrays are on the host.
int64_t shorten_beyond(VectorView<const Uint128> squared, Uint128 squared_bound, VectorView<Rounding> roundings);

// sums[j] += Σ_i x[i][j], x[i][j] = rows[i][j] · (factors[i] / step), rounded in double to a whole number as
// roundings[i] says. A sample that is dropped or has factor 0 is never read. The norms of what is added must have been
// found within a bound, and their number within its capacity.
void accumulate_on_lattice(const Exec& exec, MatrixView<const float> rows, VectorView<const float> factors,
                           VectorView<const Rounding> roundings, double step, VectorView<int64_t> sums);

// out[j] = step · sums[j], rounded to double and then to float32.
void scale_from_lattice(const Exec& exec, VectorView<const int64_t> sums, double step, VectorView<float> out);

}  // namespace sotto::kernels

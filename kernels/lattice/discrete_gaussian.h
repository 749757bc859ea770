#pragma once
#include "base/random_key.h"
#include "base/view.h"
#include "cuda/exec.h"

namespace sotto::kernels {

// The discrete Gaussian on the integers with k = 2^log2_scale: P(y) ∝ 2^-(y/k)², which is exp(-y² / 2σ²) at
// σ = k / sqrt(2 ln 2) (Canonne, Kamath, Steinke 2020, definition 1), by rejection as Ducas, Durmus, Lepoint and
// Lyubashevsky 2013 (algorithm 10) do it: z ≥ 0 with P(z) ∝ 2^-z², x uniform below k, y = kz + x is taken with
// probability 2^-(x (x + 2kz) / k²), and gets a sign, of which -0 is drawn anew.
//
// Integers only, so that no floating-point number's gaps show. What is drawn is within kDiscreteGaussianDistance of the
// exact law in total variation, tails included.
//
// y_i, the stream's i-th draw, depends on (key, nonce, log2_scale, i) alone: its attempts are block i of the streams
// Purpose::lattice_noise + 0, 1, 2, … So it is the same for any number of threads, any cut of the tensor, any
// instruction set, and on CUDA. A stream has 2^32 draws. Use each stream once.
//
// Timing: an attempt is the same instructions and addresses whatever it draws. Which attempts are made again does show;
// it says nothing about what the others were accepted with, since attempts are independent.

// out[j] += y_(first + j). `stream` is one of Purpose::lattice_noise, 0 ≤ log2_scale ≤ 40.
void add_discrete_gaussian(const Exec& exec, const StreamKey& stream, int log2_scale, VectorView<int64_t> out,
                           int64_t first = 0);

// Of one draw, for any scale; discrete_gaussian_impl.h has the proof.
inline constexpr double kDiscreteGaussianDistance = 0x1p-119;

// An upper bound of what the distance adds to δ at this ε over `steps` steps that each release `elements` draws: d
// times the distance at each of two neighbours is (1 + e^ε) · d. At most 1.
double discrete_gaussian_delta(int64_t elements, int64_t steps, double epsilon);

}  // namespace sotto::kernels

#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define SOTTO_HOST_DEVICE __host__ __device__
#else
#define SOTTO_HOST_DEVICE
#endif

namespace sotto::kernels {

// The proofs in this folder use Higham's γ_n = n·u / (1 − n·u): n roundings in a row multiply by a factor within
// 1 ± γ_n. They assume IEEE arithmetic with gradual underflow: no -ffast-math, no flush-to-zero.
constexpr double kFloatUnit = 0x1p-24;
constexpr double kDoubleUnit = 0x1p-53;
SOTTO_HOST_DEVICE constexpr double gamma_of(double roundings, double unit) {
  return roundings * unit / (1 - roundings * unit);
}

// A sum of n ≥ 0 non-negative doubles, raised so that it is not below the true sum: γ_n < 2·n·u for n < 2^51.
SOTTO_HOST_DEVICE constexpr double raised(double sum, int64_t terms) {
  return sum * (1 + 2 * double(terms + 8) * kDoubleUnit);
}

// squared += part, rounded up: norms are summed over many layers.
SOTTO_HOST_DEVICE inline void add_up(double& squared, double part) {
  squared += part;
  squared += 4 * kDoubleUnit * (squared < 0 ? -squared : squared);
}

// A float sum takes at most this many rows before it is added to a double: longer chains would round more, shorter ones
// would pay more for the conversion.
constexpr int64_t kChain = 64;

// How far rounding can move what accumulate_clipped_outer adds for a sample of several rows, over Σ_t ‖g_t‖‖a_t‖: one
// rounding of f·g, at most kChain + 1 in the chain, and spare for the double sums. Norms of such samples include it.
constexpr double kSampleRounding = gamma_of(kChain + 4, kFloatUnit);

// A sum of `products` products of Bfloat16 that tensor cores accumulate in floats is off by at most this times the sum
// of their magnitudes. The products are exact. The terms of a block, products and accumulator, are aligned to the
// largest, cut off and added, and the result is cut off again; a block has at least four products (Fasi, Higham,
// Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ CS 7:e330, 2021, found so on V100, T4 and
// A100). So of sixteen products each loses 2^-23 of the largest term, and the accumulator and the result do in each of
// up to four blocks: 24 · 2^-23, three units a product. Extra bits of the alignment, which newer ones have, are not
// counted on, as their number is documented nowhere; 1.001 is for the second order.
SOTTO_HOST_DEVICE constexpr double tensor_error(int64_t products) {
  return 1.001 * 3 * kFloatUnit * double((products + 15) / 16 * 16);
}

// A sum of products of Bfloat16 takes at most this many rows of a sample before it is added to a double: at 256, adding
// p·d doubles costs 8 bytes for 512 operations of the tensor cores.
constexpr int64_t kTensorChain = 256;

// As kSampleRounding, of samples of several rows of Bfloat16, on both backends: 4.6e-5.
constexpr double kTensorSampleRounding = tensor_error(kTensorChain) + 4 * kFloatUnit;

// Clip norms outside this range are refused: within it no clipped sum overflows, and what underflows (at most 2^-150 an
// operation) is lost in the spare of the bounds.
constexpr double kSmallestClipNorm = 0x1p-60;
constexpr double kLargestClipNorm = 0x1p60;

}  // namespace sotto::kernels

#include <algorithm>
#include <vector>

#include "kernels/ghost_norms/ghost_norms_impl.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kTile = 4;                // a Gram tile is 4x4: its sixteen sums fill one register
constexpr double kLargestSquare = 0x1p100;  // of Σ‖·‖²: no dot product can overflow a float

// Lane 4·m + n of the result is the sum over the lanes of sums[m][n]: a tree of four steps.
SOTTO_INLINE void sum_lanes(Float16 (&sums)[16], Float16& result) {
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) {
    const Float16 a = sums[k], b = sums[k + 8];
    sums[k] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
              __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const Float16 a = sums[k], b = sums[k + 4];
    sums[k] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
              __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
#pragma GCC unroll 2
  for (int k = 0; k < 2; ++k) {
    const Float16 a = sums[k], b = sums[k + 2];
    sums[k] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
              __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  const Float16 a = sums[0], b = sums[1];
  result = __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

// The sixteen dot products of four rows with four rows. Each lane's chain has ⌈n/16⌉ terms.
SOTTO_INLINE void dot_tile(const float* const* left, const float* const* right, int64_t n, float* dots) {
  Float16 sums[16] = {};
  for (int64_t k = 0; k < n; k += 16) {
    Float16 l[kTile] = {}, r[kTile] = {};
    if (k + 16 <= n) {
#pragma GCC unroll 4
      for (int m = 0; m < kTile; ++m) {
        l[m] = *reinterpret_cast<const Float16Unaligned*>(left[m] + k);
        r[m] = *reinterpret_cast<const Float16Unaligned*>(right[m] + k);
      }
    } else {
      for (int m = 0; m < kTile; ++m) {
        std::memcpy(&l[m], left[m] + k, static_cast<size_t>(n - k) * sizeof(float));
        std::memcpy(&r[m], right[m] + k, static_cast<size_t>(n - k) * sizeof(float));
      }
    }
#pragma GCC unroll 4
    for (int m = 0; m < kTile; ++m)
#pragma GCC unroll 4
      for (int c = 0; c < kTile; ++c) sums[4 * m + c] += l[m] * r[c];
  }
  Float16 result;
  sum_lanes(sums, result);
  std::memcpy(dots, &result, sizeof(result));
}

// Rows of one operand, with ‖row‖ ≥ the true norm in the order in which a tile's lanes need it. Past the last row there
// are rows of zeros.
struct Operand {
  std::vector<const float*> rows;
  std::vector<double> norms, left, right;
  std::vector<float> zeros;
  double square_sum, norm_sum;
};

SOTTO_INLINE void prepare(MatrixView<const float> x, int64_t first, int64_t length, double extra, Operand& operand) {
  const int64_t groups = (length + kTile - 1) / kTile;
  operand.zeros.assign(static_cast<size_t>(x.cols), 0.0f);
  operand.rows.assign(static_cast<size_t>(groups * kTile), operand.zeros.data());
  operand.norms.assign(static_cast<size_t>(groups * kTile), 0.0);
  operand.left.resize(static_cast<size_t>(groups * 16));
  operand.right.resize(static_cast<size_t>(groups * 8));
  operand.square_sum = operand.norm_sum = 0;
  for (int64_t t = 0; t < length; ++t) {
    operand.rows[t] = x.data + (first + t) * x.cols;
    const double squares = raised(square_sum(operand.rows[t], x.cols) + extra, x.cols);
    operand.norms[t] = std::sqrt(squares) * (1 + 4 * kDoubleUnit);
    operand.square_sum += squares;
    operand.norm_sum += operand.norms[t];
  }
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t k = 0; k < 16; ++k) operand.left[group * 16 + k] = operand.norms[group * kTile + k / kTile];
    for (int64_t k = 0; k < 8; ++k) operand.right[group * 8 + k] = operand.norms[group * kTile + k % kTile];
  }
}

struct Gram {
  double sum, error;
};

// Σ_{s ≥ t} w ⟨a_s, a_t⟩⟨g_s, g_t⟩ with w = 2 off the diagonal, and a bound on its error but for second-order terms.
SOTTO_INLINE Gram gram_sum(const Operand& a, const Operand& g, int64_t d, int64_t p, double bias) {
  const double a_error = gamma_of(double(d / 16 + 6), kFloatUnit), g_error = gamma_of(double(p / 16 + 6), kFloatUnit);
  alignas(64) static constexpr double kDiagonal[16] = {1, 0, 0, 0, 2, 1, 0, 0, 2, 2, 1, 0, 2, 2, 2, 1};
  Double8 sum = {}, error = {};
  const int64_t groups = static_cast<int64_t>(a.rows.size()) / kTile;
  for (int64_t s = 0; s < groups; ++s)
    for (int64_t t = 0; t <= s; ++t) {
      alignas(64) float a_dots[16], g_dots[16];
      dot_tile(a.rows.data() + s * kTile, a.rows.data() + t * kTile, d, a_dots);
      dot_tile(g.rows.data() + s * kTile, g.rows.data() + t * kTile, p, g_dots);
      for (int half = 0; half < 2; ++half) {
        const Double8 a_dot =
            __builtin_convertvector(*reinterpret_cast<const Float8*>(a_dots + 8 * half), Double8) + bias;
        const Double8 g_dot = __builtin_convertvector(*reinterpret_cast<const Float8*>(g_dots + 8 * half), Double8);
        const Double8 a_norms = *reinterpret_cast<const Double8Unaligned*>(&a.left[s * 16 + 8 * half]) *
                                *reinterpret_cast<const Double8Unaligned*>(&a.right[t * 8]);
        const Double8 g_norms = *reinterpret_cast<const Double8Unaligned*>(&g.left[s * 16 + 8 * half]) *
                                *reinterpret_cast<const Double8Unaligned*>(&g.right[t * 8]);
        Double8 weight = s == t ? *reinterpret_cast<const Double8*>(kDiagonal + 8 * half) : Double8{} + 2.0;
        sum += weight * a_dot * g_dot;
        error += weight *
                 (a_error * a_norms * (g_dot < 0 ? -g_dot : g_dot) + g_error * g_norms * (a_dot < 0 ? -a_dot : a_dot));
      }
    }
  Gram total{0, 0};
  for (int k = 0; k < 8; ++k) total.sum += sum[k], total.error += error[k];
  return total;
}

double mass_of(const Operand& a, const Operand& g) {
  double mass = 0;
  for (size_t t = 0; t < a.norms.size(); ++t) mass += a.norms[t] * g.norms[t];
  return raised(mass, static_cast<int64_t>(a.norms.size()));
}

double direct_norm(const GhostInput& input, int64_t sample, double mass) {
  const double square = raised(direct_square_cpu(input, sample), input.g.cols * (input.a.cols + 1));
  return sample_norm(square, mass, 2 * double(input.length + 8));
}

SOTTO_INLINE double ghost_norm(const GhostInput& input, const Operand& a, const Operand& g, int64_t sample) {
  const double mass = mass_of(a, g);
  if (mass == 0) return 0;
  if (!(a.square_sum < kLargestSquare && g.square_sum < kLargestSquare)) return direct_norm(input, sample, mass);
  const int64_t d = input.a.cols, p = input.g.cols, groups = static_cast<int64_t>(a.rows.size()) / kTile;
  const Gram gram = gram_sum(a, g, d, p, input.with_bias ? 1.0 : 0.0);
  const double second_order =
      gamma_of(double(d / 16 + 6), kFloatUnit) * gamma_of(double(p / 16 + 6), kFloatUnit) * mass * mass;
  const double of_doubles = double(groups * groups + 64) * kDoubleUnit * mass * mass;
  const double of_underflow =  // each multiplication of floats may lose 2^-150
      0x1p-149 * (double(d) * g.norm_sum * g.norm_sum + double(p) * a.norm_sum * a.norm_sum);
  const double error = (gram.error + second_order + of_doubles + of_underflow) * (1 + 1e-9);
  if (!(error <= kWorstRelativeError * gram.sum)) return direct_norm(input, sample, mass);
  return sample_norm(gram.sum + error, mass, 0);
}

// False, and NaN added, for a sample that is not finite.
SOTTO_INLINE bool prepare_sample(const GhostInput& input, int64_t i, Operand& a, Operand& g, double* squared) {
  prepare(input.a, i * input.length, input.length, input.with_bias ? 1.0 : 0.0, a);
  prepare(input.g, i * input.length, input.length, 0.0, g);
  if (a.square_sum < INFINITY && g.square_sum < INFINITY) return true;
  squared[i] += NAN;
  return false;
}

}  // namespace

SOTTO_VECTORISED void add_ghost_norms_cpu(const GhostInput& input, double* squared, int64_t begin, int64_t end) {
  Operand a, g;
  for (int64_t i = begin; i < end; ++i)
    if (prepare_sample(input, i, a, g, squared)) add_up(squared[i], ghost_norm(input, a, g, i));
}

SOTTO_VECTORISED void add_direct_norms_cpu(const GhostInput& input, double* squared, int64_t begin, int64_t end) {
  Operand a, g;
  for (int64_t i = begin; i < end; ++i)
    if (prepare_sample(input, i, a, g, squared)) add_up(squared[i], direct_norm(input, i, mass_of(a, g)));
}

}  // namespace sotto::kernels

#include <algorithm>
#include <vector>

#include "kernels/double_sum.h"
#include "kernels/ghost_norms/ghost_norms_impl.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kTile = 4;                // a Gram tile is 4x4
constexpr double kLargestSquare = 0x1p100;  // of Σ‖·‖²: no dot product can overflow a float

// Lane k of the result is the sum over the lanes of sums[k]: a tree of three or four steps.
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

SOTTO_INLINE void sum_lanes(Float8 (&sums)[8], Float8& result) {
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const Float8 a = sums[k], b = sums[k + 4];
    sums[k] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) +
              __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  }
#pragma GCC unroll 2
  for (int k = 0; k < 2; ++k) {
    const Float8 a = sums[k], b = sums[k + 2];
    sums[k] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13) +
              __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  }
  const Float8 a = sums[0], b = sums[1];
  result = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14) +
           __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
}

// Roundings of a dot product of n terms in the lanes of V: a product, a chain of ⌈n/width⌉ terms, and the tree.
template <class V>
SOTTO_INLINE double dot_error(int64_t n) {
  return gamma_of(double(n / kWidth<V> + 6), kFloatUnit);
}

// The sixteen dot products of four rows with four rows, by as many of the left rows as have a register for each
// product.
template <class V>
SOTTO_INLINE void dot_tile(const float* const* left, const float* const* right, int64_t n, float* dots) {
  constexpr int64_t width = kWidth<V>, rows = width / kTile;
  for (int64_t first = 0; first < kTile; first += rows) {
    V sums[width] = {};
    for (int64_t k = 0; k < n; k += width) {
      V l[rows], r[kTile];
      if (k + width <= n) {
#pragma GCC unroll 4
        for (int m = 0; m < rows; ++m) load(l[m], left[first + m] + k, width);
#pragma GCC unroll 4
        for (int m = 0; m < kTile; ++m) load(r[m], right[m] + k, width);
      } else {
        for (int m = 0; m < rows; ++m) load(l[m], left[first + m] + k, n - k);
        for (int m = 0; m < kTile; ++m) load(r[m], right[m] + k, n - k);
      }
#pragma GCC unroll 4
      for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
        for (int c = 0; c < kTile; ++c) sums[kTile * m + c] += l[m] * r[c];
    }
    V result;
    sum_lanes(sums, result);
    store(result, dots + first * kTile, width);
  }
}

// Rows of one operand, with ‖row‖ ≥ the true norm in the order in which a tile's lanes need it. Past the last row there
// are rows of zeros.
struct Operand {
  std::vector<const float*> rows;
  std::vector<double> norms, left, right;
  std::vector<float> zeros;
  double square_sum, norm_sum;
};

template <class V>
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
    const double squares = raised(square_sum<V>(operand.rows[t], x.cols) + extra, x.cols);
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
template <class V>
SOTTO_INLINE Gram gram_sum(const Operand& a, const Operand& g, int64_t d, int64_t p, double bias) {
  using Wide = Doubles<V>;
  const double a_error = dot_error<V>(d), g_error = dot_error<V>(p);
  alignas(64) static constexpr double kDiagonal[16] = {1, 0, 0, 0, 2, 1, 0, 0, 2, 2, 1, 0, 2, 2, 2, 1};
  Wide sum = {}, error = {};
  const int64_t groups = static_cast<int64_t>(a.rows.size()) / kTile;
  for (int64_t s = 0; s < groups; ++s)
    for (int64_t t = 0; t <= s; ++t) {
      alignas(64) float a_dots[16], g_dots[16];
      dot_tile<V>(a.rows.data() + s * kTile, a.rows.data() + t * kTile, d, a_dots);
      dot_tile<V>(g.rows.data() + s * kTile, g.rows.data() + t * kTile, p, g_dots);
      for (int64_t at = 0; at < 16; at += kDoubles<V>) {
        Wide a_dot, g_dot;
        load_wide<V>(a_dot, a_dots + at);
        load_wide<V>(g_dot, g_dots + at);
        a_dot += bias;
        const Wide a_norms = doubles_at<V>(&a.left[s * 16 + at]) * doubles_at<V>(&a.right[t * 8 + at % 8]);
        const Wide g_norms = doubles_at<V>(&g.left[s * 16 + at]) * doubles_at<V>(&g.right[t * 8 + at % 8]);
        const Wide weight = s == t ? doubles_at<V>(kDiagonal + at) : Wide{} + 2.0;
        sum += weight * a_dot * g_dot;
        error += weight *
                 (a_error * a_norms * (g_dot < 0 ? -g_dot : g_dot) + g_error * g_norms * (a_dot < 0 ? -a_dot : a_dot));
      }
    }
  Gram total{0, 0};
  for (int k = 0; k < kDoubles<V>; ++k) total.sum += sum[k], total.error += error[k];
  return total;
}

double mass_of(const Operand& a, const Operand& g) {
  double mass = 0;
  for (size_t t = 0; t < a.norms.size(); ++t) mass += a.norms[t] * g.norms[t];
  return raised(mass, static_cast<int64_t>(a.norms.size()));
}

double direct_norm(const GhostInput& input, int64_t sample, double mass) {
  const double square = raised(direct_square_cpu(input, sample), input.g.cols * (input.a.cols + 1));
  return sample_norm(input.spare, square, mass, 2 * double(input.segments.rows(sample) + 8));
}

template <class V>
SOTTO_INLINE double ghost_norm(const GhostInput& input, const Operand& a, const Operand& g, int64_t sample) {
  const double mass = mass_of(a, g);
  if (mass == 0) return 0;
  if (!(a.square_sum < kLargestSquare && g.square_sum < kLargestSquare)) return direct_norm(input, sample, mass);
  const int64_t d = input.a.cols, p = input.g.cols, groups = static_cast<int64_t>(a.rows.size()) / kTile;
  const Gram gram = gram_sum<V>(a, g, d, p, input.with_bias ? 1.0 : 0.0);
  const double second_order = dot_error<V>(d) * dot_error<V>(p) * mass * mass;
  const double of_doubles = double(groups * groups + 64) * kDoubleUnit * mass * mass;
  const double of_underflow =  // each multiplication of floats may lose 2^-150
      0x1p-149 * (double(d) * g.norm_sum * g.norm_sum + double(p) * a.norm_sum * a.norm_sum);
  const double error = (gram.error + second_order + of_doubles + of_underflow) * (1 + 1e-9);
  if (!(error <= kWorstRelativeError * gram.sum)) return direct_norm(input, sample, mass);
  return sample_norm(input.spare, gram.sum + error, mass, 0);
}

// False, and NaN added, for a sample that is not finite.
template <class V>
SOTTO_INLINE bool prepare_sample(const GhostInput& input, int64_t i, Operand& a, Operand& g, double* squared) {
  const int64_t first = input.segments.first(i), rows = input.segments.rows(i);
  prepare<V>(input.a, first, rows, input.with_bias ? 1.0 : 0.0, a);
  prepare<V>(input.g, first, rows, 0.0, g);
  if (a.square_sum < INFINITY && g.square_sum < INFINITY) return true;
  squared[i] += NAN;
  return false;
}

struct AddGhostNorms {
  template <class V>
  static SOTTO_INLINE void run(const GhostInput& input, double* squared, int64_t begin, int64_t end) {
    Operand a, g;
    for (int64_t i = begin; i < end; ++i)
      if (prepare_sample<V>(input, i, a, g, squared)) add_up(squared[i], ghost_norm<V>(input, a, g, i));
  }
};

struct AddDirectNorms {
  template <class V>
  static SOTTO_INLINE void run(const GhostInput& input, double* squared, int64_t begin, int64_t end) {
    Operand a, g;
    for (int64_t i = begin; i < end; ++i)
      if (prepare_sample<V>(input, i, a, g, squared)) {
        const double mass = mass_of(a, g), in_floats = float_direct_norm_cpu(input, i, mass);
        add_up(squared[i], in_floats < 0 ? direct_norm(input, i, mass) : in_floats);
      }
  }
};

}  // namespace

void add_ghost_norms_cpu(const GhostInput& input, double* squared, int64_t begin, int64_t end) {
  run_widest<AddGhostNorms>(input, squared, begin, end);
}

void add_direct_norms_cpu(const GhostInput& input, double* squared, int64_t begin, int64_t end) {
  run_widest<AddDirectNorms>(input, squared, begin, end);
}

}  // namespace sotto::kernels

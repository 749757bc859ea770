#include <algorithm>

#include "kernels/double_sum.h"
#include "kernels/ghost_norms/ghost_norms_impl.h"
#include "kernels/sample_gradients/gradient_block.h"

namespace sotto::kernels {
namespace {

constexpr double kLargestMass = 0x1p120;  // no sum of products can overflow a float

struct FloatSquares {
  template <class V>
  static SOTTO_INLINE double run(const GhostInput& input, int64_t sample) {
    thread_local GradientScratch scratch;
    const int64_t first = input.segments.first(sample), rows = input.segments.rows(sample), d = input.a.cols;
    scratch.block.resize(std::max(scratch.block.size(), static_cast<size_t>(kBlockRows * d)));
    double squares = 0;
    for (int64_t begin = 0; begin < input.g.cols; begin += kBlockRows) {
      const int64_t end = std::min(begin + kBlockRows, input.g.cols);
      run_block<V>({input.a, input.g}, first, rows, begin, end, scratch.block.data(), scratch);
      squares += square_sum<V>(scratch.block.data(), (end - begin) * d);
    }
    for (int64_t i = 0; input.with_bias && i < input.g.cols; ++i) {
      double sum = 0;
      for (int64_t t = first; t < first + rows; ++t) sum += double(input.g.data[t * input.g.cols + i]);
      squares += sum * sum;
    }
    return raised(squares, input.g.cols * (d + 1));
  }
};

}  // namespace

double float_direct_norm_cpu(const GhostInput& input, int64_t sample, double mass) {
  if (mass == 0) return 0;  // no row, or none that is not zero
  const int64_t rows = input.segments.rows(sample), chains = rows / kPositions + 1;
  const double gamma = gamma_of(double(std::min(rows, kPositions) + chains + 1), kFloatUnit);
  // Rows of independent directions have a mass of about √rows norms: then this would be in vain.
  if (!(mass < kLargestMass) || gamma * std::sqrt(double(rows)) > kWorstFloatError) return -1;
  const double norm = std::sqrt(run_widest<FloatSquares>(input, sample));
  // An entry's products and sums round by γ Σ|g||a|, all of them by γ · mass; each product may lose 2^-150.
  const double of_underflow = 0x1p-149 * double(rows) * std::sqrt(double(input.a.cols) * double(input.g.cols));
  const double error = gamma * mass + of_underflow;
  if (!(error <= kWorstFloatError * norm)) return -1;
  return sample_norm(input.spare, (norm + error) * (norm + error), mass, 2 * double(rows + 8));
}

}  // namespace sotto::kernels

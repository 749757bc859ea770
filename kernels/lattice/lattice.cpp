#include "kernels/lattice/lattice.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/lattice/lattice_impl.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {
namespace {

// σ² = k² / (2 ln 2), rounded down.
constexpr double kNoiseVariance = 0.72134752044448 * 0x1p80;
static_assert(kLatticeScale == 40);

template <Rounding rounding>
SOTTO_INLINE Uint128 row_square(const float* row, int64_t columns, double scale) {
  Uint128 squared = 0;
  for (int64_t begin = 0; begin < columns; begin += kSquaresAtOnce) {
    const int64_t end = std::min(columns, begin + kSquaresAtOnce);
    SquareSums sums;
    for (int64_t j = begin; j < end; ++j) add_square<rounding>(row[j] * scale, sums);
    squared = saturating_sum(squared, total(sums));
  }
  return squared;
}

SOTTO_VECTORISED void add_norms(MatrixView<const float> rows, const float* factors, const Rounding* roundings,
                                double step, Uint128* squared, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (roundings[i] == Rounding::dropped || factors[i] == 0) continue;
    const float* row = rows.data + i * rows.cols;
    const double scale = static_cast<double>(factors[i]) / step;
    squared[i] = saturating_sum(squared[i], roundings[i] == Rounding::nearest
                                                ? row_square<Rounding::nearest>(row, rows.cols, scale)
                                                : row_square<Rounding::toward_zero>(row, rows.cols, scale));
  }
}

template <Rounding rounding>
SOTTO_INLINE void add_row(const float* row, double scale, int64_t* sums, int64_t count) {
#pragma GCC ivdep
  for (int64_t j = 0; j < count; ++j) sums[j] += lattice_point<rounding>(row[j] * scale);
}

constexpr int64_t kColumnsAtOnce = 1024;  // their sums stay in the first-level cache

SOTTO_VECTORISED void add_columns(MatrixView<const float> rows, const float* factors, const Rounding* roundings,
                                  double step, int64_t* sums, int64_t begin, int64_t end) {
  for (int64_t first = begin; first < end; first += kColumnsAtOnce) {
    const int64_t count = std::min(kColumnsAtOnce, end - first);
    for (int64_t i = 0; i < rows.rows; ++i) {
      if (roundings[i] == Rounding::dropped || factors[i] == 0) continue;  // 0 · NaN would be added
      const float* row = rows.data + i * rows.cols + first;
      const double scale = static_cast<double>(factors[i]) / step;
      if (roundings[i] == Rounding::nearest)
        add_row<Rounding::nearest>(row, scale, sums + first, count);
      else
        add_row<Rounding::toward_zero>(row, scale, sums + first, count);
    }
  }
}

SOTTO_VECTORISED void scale_range(const int64_t* sums, double step, float* out, int64_t begin, int64_t end) {
  for (int64_t j = begin; j < end; ++j) out[j] = from_lattice(sums[j], step);
}

void check(MatrixView<const float> rows, int64_t factors, int64_t roundings, double step) {
  require(factors == rows.rows && roundings == rows.rows, "need a factor and a rounding a row: ", factors, " and ",
          roundings, " for ", rows.rows, " rows");
  require(step > 0 && std::isfinite(step), "a lattice's step must be positive and finite, got ", step);
}

}  // namespace

Uint128 lattice_bound(double noise_multiplier) {
  require(noise_multiplier >= kSmallestLatticeNoise && noise_multiplier <= kLargestLatticeNoise,
          "on a lattice the noise multiplier must be between ", kSmallestLatticeNoise, " and ", kLargestLatticeNoise,
          ", got ", noise_multiplier);
  // The last factor pays for two roundings here and those of lattice_noise_multiplier.
  return static_cast<Uint128>(kNoiseVariance / noise_multiplier / noise_multiplier * (1 - 0x1p-48));
}

double lattice_noise_multiplier(Uint128 squared_bound) {
  require(squared_bound > 0, "there is no lattice");
  return std::sqrt(kNoiseVariance / static_cast<double>(squared_bound)) * (1 - 0x1p-50);
}

double lattice_step(Uint128 squared_bound, double clip_norm) {
  require(squared_bound > 0, "there is no lattice");
  return clip_norm / std::sqrt(static_cast<double>(squared_bound)) * (1 - 0x1p-50);
}

int64_t lattice_capacity(Uint128 squared_bound) {
  // The noise is below 2^44; rounding the root and the quotient is paid for by the second bit that is left.
  return static_cast<int64_t>(0x1p61 / std::ceil(std::sqrt(static_cast<double>(squared_bound))));
}

void accumulate_lattice_norms(const Exec& exec, MatrixView<const float> rows, VectorView<const float> factors,
                              VectorView<const Rounding> roundings, double step, VectorView<Uint128> squared) {
  check(rows, factors.size, roundings.size, step);
  require(squared.size == rows.rows, "need a norm a row: ", squared.size, " norms for ", rows.rows, " rows");
  if (exec.on_cuda()) return accumulate_lattice_norms_cuda(exec, rows, factors, roundings, step, squared);
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(rows.cols, 1));
  parallel_for(exec.threads(), rows.rows, grain, [&](int64_t begin, int64_t end) {
    add_norms(rows, factors.data, roundings.data, step, squared.data, begin, end);
  });
}

int64_t shorten_beyond(VectorView<const Uint128> squared, Uint128 squared_bound, VectorView<Rounding> roundings) {
  require(squared.size == roundings.size, "need a norm a sample: ", squared.size, " norms for ", roundings.size,
          " samples");
  int64_t changed = 0;
  for (int64_t i = 0; i < squared.size; ++i) {
    Rounding& rounding = roundings.data[i];
    if (squared.data[i] <= squared_bound || rounding == Rounding::dropped) continue;
    rounding = rounding == Rounding::nearest ? Rounding::toward_zero : Rounding::dropped;
    ++changed;
  }
  return changed;
}

void accumulate_on_lattice(const Exec& exec, MatrixView<const float> rows, VectorView<const float> factors,
                           VectorView<const Rounding> roundings, double step, VectorView<int64_t> sums) {
  check(rows, factors.size, roundings.size, step);
  require(sums.size == rows.cols, "need a sum a column: ", sums.size, " sums for ", rows.cols, " columns");
  if (exec.on_cuda()) return accumulate_on_lattice_cuda(exec, rows, factors, roundings, step, sums);
  const int64_t grain = std::max<int64_t>(64, 16384 / std::max<int64_t>(rows.rows, 1));
  parallel_for(exec.threads(), rows.cols, grain, [&](int64_t begin, int64_t end) {
    add_columns(rows, factors.data, roundings.data, step, sums.data, begin, end);
  });
}

void scale_from_lattice(const Exec& exec, VectorView<const int64_t> sums, double step, VectorView<float> out) {
  require(sums.size == out.size, "out has ", out.size, " entries for ", sums.size, " sums");
  if (exec.on_cuda()) return scale_from_lattice_cuda(exec, sums, step, out);
  parallel_for(exec.threads(), out.size, 16384,
               [&](int64_t begin, int64_t end) { scale_range(sums.data, step, out.data, begin, end); });
}

}  // namespace sotto::kernels

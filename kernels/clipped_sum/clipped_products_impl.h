#pragma once
#include <algorithm>
#include <cmath>

#include "kernels/clipped_sum/clipped_products.h"
#include "kernels/clipped_sum/clipped_sum_impl.h"

namespace sotto::kernels {

template <class T>
constexpr bool kIsNarrow = sizeof(T) == sizeof(Bfloat16);

// How samples are grouped and their rows cut: `group` products at a time, of `rows` rows, in chains of `chain` rows,
// the last perhaps shorter. In the workspace: sums in double, scaled operands, products of a group, what the library
// takes.
struct ProductsPlan {
  ClippedProductsSize size;
  int64_t rows, chain, group, of_library;

  bool crosses_samples() const { return size.rows_per_sample == 1; }
  int64_t all_rows() const { return size.samples * size.rows_per_sample; }
  int64_t count() const { return all_rows() / rows; }  // of whole products
  int64_t entries() const { return size.p * size.d; }
  int64_t scaled_g() const { return (entries() * int64_t(sizeof(double)) + 15) / 16 * 16; }
  int64_t scaled_a() const { return scaled_g() + bytes_of_scaled(size.p); }
  int64_t products() const { return scaled_a() + bytes_of_scaled(size.d); }
  int64_t library() const { return products() + (group * entries() * int64_t(sizeof(float)) + 15) / 16 * 16; }
  int64_t bytes() const { return library() + of_library; }

 private:
  int64_t bytes_of_scaled(int64_t cols) const {
    return crosses_samples() ? (all_rows() * cols * int64_t(sizeof(float)) + 15) / 16 * 16 : 0;
  }
};

// The largest group that `bytes` have room for, or one product. Even chains: two shapes at most, and none of a few rows
// alone.
template <class T>
ProductsPlan plan_products(const ClippedProductsSize& size, int64_t of_library, int64_t bytes) {
  ProductsPlan plan{size, size.rows_per_sample, kChain, 1, of_library};
  if (plan.crosses_samples()) {
    plan.rows = kChain;
  } else {
    const int64_t longest = kIsNarrow<T> ? kTensorChain : kChain, chains = (plan.rows + longest - 1) / longest;
    plan.chain = (plan.rows + chains - 1) / chains;
  }
  const int64_t room = bytes - plan.products() - of_library - 15, each = plan.entries() * int64_t(sizeof(float));
  plan.group = std::max<int64_t>(1, std::min(plan.count(), each > 0 ? room / each : plan.count()));
  return plan;
}

// Batched products: `depth` rows from `row` on, and as many of each further product. Their factors, one a product, are
// from `sample` on; where chains cross samples the operands have them.
struct ProductStep {
  Matmul matmul;
  int64_t row, sample;
  bool has_factors, first, last;
};

// visit(step) of all steps in their order.
template <class T, class Visit>
void each_step(const ProductsPlan& plan, Visit visit) {
  const int64_t d = plan.size.d, p = plan.size.p, count = plan.count(), rest = plan.all_rows() - count * plan.rows;
  const bool crossing = plan.crosses_samples();
  const MatmulType type = kIsNarrow<T> && !crossing ? MatmulType::bfloat16 : MatmulType::float32;
  const auto step = [&](int64_t product, int64_t begin, int64_t depth, int64_t batch, bool last) {
    const int64_t row = product * plan.rows + begin;
    visit(ProductStep{{p, d, depth, true, false, type, batch, plan.rows * p, plan.rows * d, p * d},
                      row,
                      product,
                      !crossing,
                      row == 0,
                      last});
  };
  for (int64_t product = 0; product < count; product += plan.group)
    for (int64_t begin = 0; begin < plan.rows; begin += plan.chain) {
      const int64_t batch = std::min(plan.group, count - product), depth = std::min(plan.chain, plan.rows - begin);
      step(product, begin, depth, batch, rest == 0 && product + batch == count && begin + depth == plan.rows);
    }
  if (rest > 0) step(count, 0, rest, 1, true);
}

// What sample i's chain adds to an entry. 0 · ∞ and what left float's range stay outside.
SOTTO_HOST_DEVICE inline double clipped_product(float factor, float product) {
  const bool counts = factor != 0 && product - product == 0;
  return counts ? double(factor) * double(product) : 0.0;
}

// One row of f·g and of a, both as floats, for the thread `thread` of `threads`; `largest` is of |a|.
template <class T>
SOTTO_HOST_DEVICE void write_scaled_row(const T* g, const T* a, int64_t p, int64_t d, float factor, float largest,
                                        int thread, int threads, float* scaled_g, float* scaled_a) {
  const bool counts = factor != 0;  // 0 · NaN would poison the sum
  const float scale = counts ? row_scale(largest) : 1.0f;
  for (int64_t i = thread; i < p; i += threads)
    scaled_g[i] = counts ? scaled_gradient(factor, scale, to_float(g[i])) : 0;
  for (int64_t j = thread; j < d; j += threads) scaled_a[j] = counts ? to_float(a[j]) / scale : 0;
}

template <class T>
void write_scaled_rows_cuda(const Exec& exec, MatrixView<const T> g, MatrixView<const T> a,
                            VectorView<const float> factors, float* scaled_g, float* scaled_a);
void add_clipped_products_cuda(const Exec& exec, const ProductStep& step, VectorView<const float> factors,
                               const float* products, VectorView<double> sums, float* weight_sum);

}  // namespace sotto::kernels

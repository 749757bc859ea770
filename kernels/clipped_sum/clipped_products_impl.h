#pragma once
#include <algorithm>
#include <cmath>

#include "kernels/clipped_sum/clipped_products.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

template <class T>
constexpr bool kIsNarrow = sizeof(T) == sizeof(Bfloat16);

// How samples are grouped and their rows cut: `group` samples at a time, chains of `chain` rows, the last perhaps
// shorter. In the workspace: sums in double, products of a group, what the library takes.
struct ProductsPlan {
  ClippedProductsSize size;
  int64_t chain, group, of_library;

  int64_t entries() const { return size.p * size.d; }
  int64_t products() const { return (entries() * int64_t(sizeof(double)) + 15) / 16 * 16; }
  int64_t library() const { return products() + (group * entries() * int64_t(sizeof(float)) + 15) / 16 * 16; }
  int64_t bytes() const { return library() + of_library; }
};

// The largest group that `bytes` have room for, or one sample. Even chains: two shapes at most, and none of a few rows
// alone.
template <class T>
ProductsPlan plan_products(const ClippedProductsSize& size, int64_t of_library, int64_t bytes) {
  const int64_t longest = kIsNarrow<T> ? kTensorChain : kChain, chains = (size.rows_per_sample + longest - 1) / longest;
  ProductsPlan plan{size, (size.rows_per_sample + chains - 1) / chains, 1, of_library};
  const int64_t room = bytes - plan.products() - of_library - 15, each = plan.entries() * int64_t(sizeof(float));
  plan.group = std::max<int64_t>(1, std::min(size.samples, each > 0 ? room / each : size.samples));
  return plan;
}

// One batched product: the rows [begin, begin + depth) of `samples` samples from `sample` on.
struct ProductStep {
  Matmul matmul;
  int64_t sample, samples, begin;
  bool first, last;
};

// visit(step) of all steps in their order.
template <class T, class Visit>
void each_step(const ProductsPlan& plan, Visit visit) {
  const auto& [samples, length, d, p] = plan.size;
  for (int64_t sample = 0; sample < samples; sample += plan.group)
    for (int64_t begin = 0; begin < length; begin += plan.chain) {
      const int64_t count = std::min(plan.group, samples - sample), depth = std::min(plan.chain, length - begin);
      visit(ProductStep{{p, d, depth, true, false, kIsNarrow<T> ? MatmulType::bfloat16 : MatmulType::float32, count,
                         length * p, length * d, p * d},
                        sample,
                        count,
                        begin,
                        sample == 0 && begin == 0,
                        sample + count == samples && begin + depth == length});
    }
}

// What sample i's chain adds to an entry. 0 · ∞ and what left float's range stay outside.
SOTTO_HOST_DEVICE inline double clipped_product(float factor, float product) {
  const bool counts = factor != 0 && product - product == 0;
  return counts ? double(factor) * double(product) : 0.0;
}

void add_clipped_products_cuda(const Exec& exec, const ProductStep& step, VectorView<const float> factors,
                               const float* products, VectorView<double> sums, float* weight_sum);

}  // namespace sotto::kernels

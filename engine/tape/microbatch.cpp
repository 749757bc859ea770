#include "engine/tape/microbatch.h"

#include <algorithm>

namespace sotto {
namespace {

int64_t least_kept_bytes(const std::vector<ProductShape>& products, int64_t samples) {
  int64_t total = 0;
  for (const ProductShape& product : products) {
    int64_t least = INT64_MAX;
    for (const NormMethod method : product.methods())
      if (method != NormMethod::stored_bf16)  // a larger micro-batch is not worth a loss of accuracy
        least = std::min(least, product.kept_bytes(method, samples));
    total += least;
  }
  return total;
}

}  // namespace

int64_t chosen_microbatch(const ModelStructure& structure, const Tape& tape, int64_t records) {
  int64_t chosen = std::clamp<int64_t>(8192 / std::max<int64_t>(structure.rows_per_unit, 1), 16, 1024);
  const int64_t limit = tape.storage_limit();
  if (!tape.uncaptured().empty()) {
    const auto gradient_bytes = structure.parameter_elements * static_cast<int64_t>(sizeof(float));
    return std::clamp<int64_t>(limit / gradient_bytes, 1, chosen);
  }
  while (limit > 0 && chosen > 1 && least_kept_bytes(tape.products(), chosen * records) > limit) chosen /= 2;
  return chosen;
}

}  // namespace sotto

#include "engine/tape/microbatch.h"

#include <algorithm>

namespace sotto {

int64_t chosen_microbatch(const ModelStructure& structure, const Tape& tape) {
  const int64_t by_rows = std::clamp<int64_t>(8192 / std::max<int64_t>(structure.rows_per_unit, 1), 16, 1024);
  if (tape.uncaptured().empty()) return by_rows;
  const auto gradient_bytes = structure.parameter_elements * static_cast<int64_t>(sizeof(float));
  return std::clamp<int64_t>(tape.storage_limit() / gradient_bytes, 1, by_rows);
}

}  // namespace sotto

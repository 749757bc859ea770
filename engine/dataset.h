#pragma once
#include "data/encode.h"
#include "engine/model.h"

namespace sotto {

// One split of a table as tensors, a unit's records together: unit u has the records starts[u] up to starts[u + 1].
struct Dataset {
  at::Tensor inputs;               // [records, columns], float32 or int64
  at::Tensor labels;               // [records], int64; undefined where the file has none
  std::vector<std::string> units;  // of each record
  std::vector<int64_t> starts = {0};
  InputSpec spec;
  int64_t size() const { return inputs.size(0); }
  int64_t unit_count() const { return static_cast<int64_t>(starts.size()) - 1; }
};

// The rows of an encoded table, float32 features or int64 tokens.
at::Tensor to_inputs(const data::EncodedTable& table);

// Rows without a unit are units of their own. Throws data when a unit's rows are apart: it would be drawn twice.
Dataset to_dataset(data::EncodedTable table);

}  // namespace sotto

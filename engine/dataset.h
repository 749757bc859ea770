#pragma once
#include "data/encode.h"
#include "engine/model.h"

namespace sotto {

// One split of a table as tensors: row i is unit i, each unit once (one record a unit).
struct Dataset {
  at::Tensor inputs;  // [units, columns], float32 or int64
  at::Tensor labels;  // [units], int64; undefined where the file has none
  std::vector<std::string> units;
  InputSpec spec;
  int64_t size() const { return inputs.size(0); }
};

// The rows of an encoded table, float32 features or int64 tokens.
at::Tensor to_inputs(const data::EncodedTable& table);

// Throws data when a unit occurs twice: clipping is per record, so the guarantee would be per record too.
Dataset to_dataset(data::EncodedTable table);

}  // namespace sotto

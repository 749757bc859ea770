#include "engine/dataset.h"

#include <unordered_set>

#include "base/error.h"

namespace sotto {

at::Tensor to_inputs(const data::EncodedTable& table) {
  // from_blob wants a mutable pointer; clone() makes the copy that is handed out.
  const std::array<int64_t, 2> shape = {table.rows, table.columns};
  return table.vocabulary > 0 ? at::from_blob(const_cast<int64_t*>(table.tokens.data()), shape, at::kLong).clone()
                              : at::from_blob(const_cast<float*>(table.features.data()), shape, at::kFloat).clone();
}

Dataset to_dataset(data::EncodedTable table) {
  Dataset dataset;
  std::unordered_set<std::string_view> seen;
  for (int64_t row = 0; row < table.rows; ++row) {
    const auto i = static_cast<size_t>(row);
    const bool same = !table.units.empty() && row > 0 && table.units[i] == table.units[i - 1];
    if (same) {
      dataset.starts.back() = row + 1;
      continue;
    }
    if (!table.units.empty() && !seen.insert(table.units[i]).second)
      throw Error(ErrorKind::data, "the records of a unit of privacy are not together, so it would be drawn twice");
    dataset.starts.push_back(row + 1);
  }
  dataset.spec = {table.columns, table.vocabulary};
  dataset.inputs = to_inputs(table);
  if (!table.labels.empty()) dataset.labels = at::from_blob(table.labels.data(), {table.rows}, at::kLong).clone();
  dataset.units = std::move(table.units);
  return dataset;
}

}  // namespace sotto

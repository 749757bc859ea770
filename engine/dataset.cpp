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
  std::unordered_set<std::string_view> seen;
  for (const std::string& unit : table.units)
    if (!seen.insert(unit).second)
      throw Error(ErrorKind::data, "a unit of privacy has several records; only one record a unit can be trained on");
  Dataset dataset;
  dataset.spec = {table.columns, table.vocabulary};
  dataset.inputs = to_inputs(table);
  if (!table.labels.empty()) dataset.labels = at::from_blob(table.labels.data(), {table.rows}, at::kLong).clone();
  dataset.units = std::move(table.units);
  return dataset;
}

}  // namespace sotto

#include "data/table.h"

namespace sotto::data {

const TextColumn* Table::find(std::string_view name) const {
  for (const TextColumn& column : columns)
    if (column.name() == name) return &column;
  return nullptr;
}

void TextColumn::reserve(int64_t rows, int64_t bytes) {
  ends_.reserve(static_cast<size_t>(rows));
  bytes_.reserve(static_cast<size_t>(bytes));
}

void TextColumn::append(std::string_view cell) {
  bytes_ += cell;
  ends_.push_back(static_cast<int64_t>(bytes_.size()));
  if (!null_.empty()) null_.push_back(false);
}

void TextColumn::append_null() {
  null_.resize(ends_.size(), false);
  null_.push_back(true);
  ends_.push_back(static_cast<int64_t>(bytes_.size()));
}

}  // namespace sotto::data

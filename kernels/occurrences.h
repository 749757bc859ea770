#pragma once
#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/view.h"

namespace sotto::kernels {

// Row `row` of the gradients belongs to word `id`. In order of id, then of row.
struct Occurrence {
  int64_t id, row;
  bool operator<(const Occurrence& other) const { return id != other.id ? id < other.id : row < other.row; }
};

// The end of the occurrences of `begin`'s id.
inline const Occurrence* end_of_id(const Occurrence* begin, const Occurrence* end) {
  const int64_t id = begin->id;
  while (begin != end && begin->id == id) ++begin;
  return begin;
}

// The sorted occurrences in rows [first, first + count) of the flattened ids, padding left out.
inline void find_occurrences(const int64_t* ids, int64_t first, int64_t count, int64_t padding_index,
                             std::vector<Occurrence>& found) {
  found.clear();
  for (int64_t row = first; row < first + count; ++row)
    if (padding_index < 0 || ids[row] != padding_index) found.push_back({ids[row], row});
  std::sort(found.begin(), found.end());
}

inline void require_ids(MatrixView<const int64_t> ids, int64_t padding_index, int64_t vocabulary) {
  for (int64_t row = 0; row < ids.rows * ids.cols; ++row) {
    const int64_t id = ids.data[row];
    const bool known = (id >= 0 && id < vocabulary) || (padding_index >= 0 && id == padding_index);
    require(known, cat("id ", id, " of sample ", row / ids.cols, ", position ", row % ids.cols,
                       " is outside the vocabulary of ", vocabulary));
  }
}

}  // namespace sotto::kernels

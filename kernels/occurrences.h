#pragma once
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/view.h"
#include "kernels/segments.h"

namespace sotto::kernels {

// Row `row` of the gradients belongs to word `id`. In order of id, then of row.
struct Occurrence {
  int64_t id, row;
};

// The end of the occurrences of `begin`'s id.
inline const Occurrence* end_of_id(const Occurrence* begin, const Occurrence* end) {
  const int64_t id = begin->id;
  while (begin != end && begin->id == id) ++begin;
  return begin;
}

// By id; rows of one id keep their order. A counting sort for each byte in which id − the smallest id may differ:
// linear, and no branch that depends on how ids compare.
inline void sort_by_id(std::vector<Occurrence>& found) {
  if (found.size() < 2) return;
  thread_local std::vector<Occurrence> sorted;
  sorted.resize(found.size());
  const auto [least, largest] =
      std::minmax_element(found.begin(), found.end(), [](auto& a, auto& b) { return a.id < b.id; });
  const uint64_t smallest = static_cast<uint64_t>(least->id);
  uint64_t rest = static_cast<uint64_t>(largest->id) - smallest;
  for (int shift = 0; rest != 0; shift += 8, rest >>= 8) {
    const auto byte = [&](const Occurrence& at) { return (static_cast<uint64_t>(at.id) - smallest) >> shift & 255; };
    std::array<size_t, 256> places{};
    for (const Occurrence& at : found) ++places[byte(at)];
    size_t before = 0;
    for (size_t& place : places) before += std::exchange(place, before);
    for (const Occurrence& at : found) sorted[places[byte(at)]++] = at;
    found.swap(sorted);
  }
}

// The sorted occurrences in rows [first, first + count) of the flattened ids, padding left out.
inline void find_occurrences(const int64_t* ids, int64_t first, int64_t count, int64_t padding_index,
                             std::vector<Occurrence>& found) {
  found.clear();
  for (int64_t row = first; row < first + count; ++row)
    if (padding_index < 0 || ids[row] != padding_index) found.push_back({ids[row], row});
  sort_by_id(found);
}

inline void require_ids(const int64_t* ids, const Segments& segments, int64_t padding_index, int64_t vocabulary) {
  for (int64_t row = 0; row < segments.first(segments.count); ++row) {
    const int64_t id = ids[row];
    if ((id >= 0 && id < vocabulary) || (padding_index >= 0 && id == padding_index)) continue;
    const int64_t sample = segments.sample_of(row);
    require(false, "id ", id, " of sample ", sample, ", position ", row - segments.first(sample),
            " is outside the vocabulary of ", vocabulary);
  }
}

}  // namespace sotto::kernels

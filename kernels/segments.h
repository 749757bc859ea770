#pragma once
#include "base/error.h"
#include "cuda/exec.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

// Which rows of a batch are whose: sample i has `length` of them, or, where there is a table, those from starts[i] up
// to starts[i + 1], at most `length`, perhaps none. The table has count + 1 entries, ascends from 0 to the number of
// rows and lies where the rows do. So units of several records, packed sequences and ragged batches need no padding.
struct Segments {
  int64_t count, length;
  const int64_t* starts = nullptr;

  SOTTO_HOST_DEVICE int64_t first(int64_t sample) const { return starts ? starts[sample] : sample * length; }
  SOTTO_HOST_DEVICE int64_t rows(int64_t sample) const { return starts ? starts[sample + 1] - starts[sample] : length; }
  // A row's sample. Of a table by bisection: the last one that begins at or before the row.
  SOTTO_HOST_DEVICE int64_t sample_of(int64_t row) const {
    if (!starts) return row / length;
    int64_t low = 0, high = count;  // starts[low] ≤ row < starts[high]
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (starts[middle] <= row ? low : high) = middle;
    }
    return low;
  }
};

// Throws invalid_argument unless the samples have `rows` rows together. A device's table is not read.
inline void require_segments(const Exec& exec, const Segments& segments, int64_t rows) {
  require(segments.length >= 1, "length must be at least 1, got ", segments.length);
  if (!segments.starts) {
    require(rows == segments.count * segments.length, "got ", rows, " rows for ", segments.count, " samples of ",
            segments.length, " rows");
    return;
  }
  if (exec.on_cuda()) return;
  require(segments.starts[0] == 0 && segments.starts[segments.count] == rows, "segments go from ", segments.starts[0],
          " to ", segments.starts[segments.count], ", expected 0 to ", rows, " rows");
  for (int64_t i = 0; i < segments.count; ++i)
    require(segments.rows(i) >= 0 && segments.rows(i) <= segments.length, "segment ", i, " has ", segments.rows(i),
            " rows, expected 0 to ", segments.length);
}

}  // namespace sotto::kernels

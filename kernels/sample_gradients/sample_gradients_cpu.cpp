#include <vector>

#include "base/parallel.h"
#include "kernels/lanes.h"
#include "kernels/sample_gradients/sample_gradients_impl.h"

// A block of rows of one sample's gradient at a time: its part of g is packed tile by tile, a by panels of columns, and
// each tile of sums stays in registers over all positions of a chain.
namespace sotto::kernels {
namespace {

constexpr int64_t kBlockRows = 96;                             // whole tiles of 6 and of 3
constexpr int64_t kPackedTile = 8;                             // room for a tile's rows: copied as one vector of 8
constexpr int64_t kPositions = 128;                            // of a chain: a panel of 64 columns is 32 KB
constexpr int64_t kTilePanel = kPositions * kPackedTile + 16;  // more, lest all tiles map to the same cache set
constexpr int64_t kPanelFloats = 64;                           // columns of the widest panel

struct Job {
  MatrixView<const float> a, g;
  int64_t length;
};

struct Scratch {
  std::vector<float> gradients = std::vector<float>(kBlockRows / 3 * kTilePanel);
  std::vector<float> activations = std::vector<float>(kPositions * kPanelFloats);
  std::vector<float> block;  // where the sums are rounded
};

// packed[tile][t][row of the tile] of the g of `depth` positions from `first` on.
template <class V>
SOTTO_INLINE void pack_gradients(const Job& job, int64_t first, int64_t depth, int64_t begin, int64_t end,
                                 float* packed) {
  for (int64_t t = 0; t < depth; ++t) {
    const float* const row = job.g.data + (first + t) * job.g.cols;
    float* out = packed + t * kPackedTile;
    for (int64_t p = begin; p < end; p += kTileRows<V>, out += kTilePanel) {
      Float8 values;
      load(values, row + p, job.g.cols - p);
      *reinterpret_cast<Float8Unaligned*>(out) = values;
    }
  }
}

// packed[t][column] of `Vectors` vectors of columns, with zeros past the last.
template <int Vectors, class V>
SOTTO_INLINE void pack_activations(const Job& job, int64_t first, int64_t depth, int64_t column, float* packed) {
  for (int64_t t = 0; t < depth; ++t)
    for (int64_t v = 0; v < Vectors; ++v) {
      V values;
      const int64_t from = column + v * kWidth<V>;
      load(values, job.a.data + (first + t) * job.a.cols + std::min(from, job.a.cols), job.a.cols - from);
      store(values, packed + (t * Vectors + v) * kWidth<V>, kWidth<V>);
    }
}

template <int Vectors, class V>
SOTTO_INLINE void multiply(int64_t depth, const float* g, const float* a, V* products) {
  V sums[kTileRows<V>][Vectors] = {};
  for (int64_t t = 0; t < depth; ++t, g += kPackedTile, a += Vectors * kWidth<V>) {
    V columns[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      columns[v] = *reinterpret_cast<const typename LanesOf<V>::Unaligned*>(a + v * kWidth<V>);
#pragma GCC unroll 6
    for (int m = 0; m < kTileRows<V>; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sums[m][v] += g[m] * columns[v];
  }
  for (int m = 0; m < kTileRows<V>; ++m)
    for (int v = 0; v < Vectors; ++v) products[m * Vectors + v] = sums[m][v];
}

// The columns of one panel for rows [begin, end), which `to` holds; `adds` where an earlier chain has written them.
template <int Vectors, class V>
SOTTO_INLINE void run_panel(const Job& job, int64_t first, int64_t depth, int64_t begin, int64_t end, int64_t column,
                            float* to, bool adds, Scratch& scratch) {
  pack_activations<Vectors, V>(job, first, depth, column, scratch.activations.data());
  const float* g = scratch.gradients.data();
  const bool whole = !adds && column + Vectors * kWidth<V> <= job.a.cols;
  for (int64_t p = begin; p < end; p += kTileRows<V>, g += kTilePanel) {
    V products[kTileRows<V> * Vectors];
    multiply<Vectors>(depth, g, scratch.activations.data(), products);
    const int64_t present = std::min(kTileRows<V>, end - p);
    float* out = to + (p - begin) * job.a.cols + column;
    if (whole) {
      for (int64_t m = 0; m < present; ++m, out += job.a.cols)
        for (int v = 0; v < Vectors; ++v) store(products[m * Vectors + v], out + v * kWidth<V>, kWidth<V>);
      continue;
    }
    for (int64_t m = 0; m < present; ++m, out += job.a.cols)
      for (int64_t v = 0; v < Vectors && v * kWidth<V> < job.a.cols - column; ++v) {
        const int64_t count = job.a.cols - column - v * kWidth<V>;
        V sum = products[m * Vectors + v];
        if (adds) {
          V before;
          load(before, out + v * kWidth<V>, count);
          sum = sum + before;
        }
        store(sum, out + v * kWidth<V>, count);
      }
  }
}

// Rows [begin, end) of one sample's gradient.
template <class V>
SOTTO_INLINE void run_block(const Job& job, int64_t sample, int64_t begin, int64_t end, float* to, Scratch& scratch) {
  for (int64_t t = 0; t < job.length; t += kPositions) {
    const int64_t first = sample * job.length + t, depth = std::min(kPositions, job.length - t);
    pack_gradients<V>(job, first, depth, begin, end, scratch.gradients.data());
    int64_t column = 0;
    for (; job.a.cols - column > 2 * kWidth<V>; column += 4 * kWidth<V>)
      run_panel<4, V>(job, first, depth, begin, end, column, to, t > 0, scratch);
    if (column < job.a.cols) run_panel<2, V>(job, first, depth, begin, end, column, to, t > 0, scratch);
  }
}

int64_t blocks_of(const Job& job) {
  return (job.g.cols + kBlockRows - 1) / kBlockRows;
}

struct RunItems {
  template <class V>
  static SOTTO_INLINE void take(const Job& job, int64_t sample, int64_t begin, int64_t end, float* to,
                                Scratch& scratch) {
    run_block<V>(job, sample, begin, end, to, scratch);
  }
  template <class V>
  static SOTTO_INLINE void take(const Job& job, int64_t sample, int64_t begin, int64_t end, Bfloat16* to,
                                Scratch& scratch) {
    const size_t elements = static_cast<size_t>((end - begin) * job.a.cols);
    if (scratch.block.size() < elements) scratch.block.resize(elements);
    run_block<V>(job, sample, begin, end, scratch.block.data(), scratch);
    const float* const from = scratch.block.data();
    for (size_t k = 0; k < elements; ++k) to[k] = to_bfloat16(from[k]);
  }
  template <class V, class Row>
  static SOTTO_INLINE void run(const Job& job, Row* rows, int64_t begin, int64_t end) {
    thread_local Scratch scratch;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t sample = item / blocks_of(job), row = item % blocks_of(job) * kBlockRows;
      take<V>(job, sample, row, std::min(row + kBlockRows, job.g.cols), rows + (sample * job.g.cols + row) * job.a.cols,
              scratch);
    }
  }
};

template <class Row>
void take_gradients(const Exec& exec, const Job& job, MatrixView<Row> rows, InstructionSet set) {
  const int64_t work = job.length * std::min(kBlockRows, job.g.cols) * job.a.cols;
  parallel_for(exec.threads(), rows.rows * blocks_of(job), (int64_t{1} << 18) / std::max<int64_t>(1, work) + 1,
               [&](int64_t begin, int64_t end) { run_on<RunItems>(set, job, rows.data, begin, end); });
}

}  // namespace

void sample_gradients_cpu(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                          MatrixView<float> rows, InstructionSet set) {
  take_gradients(exec, {a, g, length}, rows, set);
}

void sample_gradients_cpu(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                          MatrixView<Bfloat16> rows, InstructionSet set) {
  take_gradients(exec, {a, g, length}, rows, set);
}

}  // namespace sotto::kernels

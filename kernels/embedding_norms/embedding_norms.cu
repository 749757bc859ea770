#include "cuda/launch.cuh"
#include "kernels/cuda_block.cuh"
#include "kernels/embedding_norms/embedding_norms_impl.h"

namespace sotto::kernels {
namespace {

constexpr int kEnd = -1;  // no later position has this id

// For each position t of a sample: next[t] = the next position with the same id, first[t] = whether it is the first.
// Each thread compares its positions with all others: the sample's ids are few, and no sort is needed.
__device__ void link_positions(const int64_t* ids, int length, int64_t padding_index, int* next, bool* first) {
  for (int t = threadIdx.x; t < length; t += kBlockThreads) {
    const int64_t id = ids[t];
    next[t] = kEnd;
    first[t] = padding_index < 0 || id != padding_index;
    for (int s = 0; s < t && first[t]; ++s) first[t] = ids[s] != id;
    for (int s = t + 1; s < length && next[t] == kEnd; ++s)
      if (ids[s] == id) next[t] = s;
  }
  __syncthreads();
}

struct Entry {
  double sum, magnitude;
  int64_t rows;
};

// Column j of the sum of the rows that start at position t, in their order.
__device__ Entry entry_of(const float* g, int64_t d, const int* next, int t, int64_t j) {
  Entry entry{0, 0, 0};
  for (; t != kEnd; t = next[t]) {
    const double x = g[t * d + j];
    entry.sum += x;
    entry.magnitude += fabs(x);
    ++entry.rows;
  }
  return entry;
}

__device__ void split_shared(int length, int*& next, bool*& first) {
  extern __shared__ int links[];
  next = links;
  first = reinterpret_cast<bool*>(links + length);
}

size_t shared_bytes(int64_t length) {
  return static_cast<size_t>(length) * (sizeof(int) + sizeof(bool));
}

// One block a sample, one thread a column of a word's row.
__global__ void accumulate_embedding_norms_kernel(const int64_t* ids, MatrixView<const float> g, Segments segments,
                                                  int64_t padding_index, VectorView<double> squared) {
  const int64_t begin = segments.first(blockIdx.x);
  const int length = static_cast<int>(segments.rows(blockIdx.x));
  int* next;
  bool* first;
  split_shared(length, next, first);
  link_positions(ids + begin, length, padding_index, next, first);
  const float* rows = g.data + begin * g.cols;
  double squares = 0;
  for (int64_t k = threadIdx.x; k < length * g.cols; k += kBlockThreads) {
    const int t = static_cast<int>(k / g.cols);
    if (!first[t]) continue;
    const Entry entry = entry_of(rows, g.cols, next, t, k % g.cols);
    const double bound = entry_bound(entry.sum, entry.magnitude, entry.rows);
    squares += bound * bound;
  }
  const double sum = block_sum(squares);
  if (threadIdx.x == 0) add_up(squared.data[blockIdx.x], raised(sum, length * g.cols));
}

template <class T>
__device__ double norm(const T* x, int64_t n) {
  double sum = 0;
  for (int64_t j = 0; j < n; ++j) sum += double(to_float(x[j])) * to_float(x[j]);
  return sqrt(raised(sum, n));
}

// One block a sample, one thread a column of a word's row; the masses by one thread a row.
template <class T>
__global__ void accumulate_tied_cross_norms_kernel(TiedInputOf<T> input, VectorView<double> squared) {
  const int64_t d = input.g_embedding.cols, words = input.g_head.cols, i = blockIdx.x;
  const int length = static_cast<int>(input.segments.rows(i));
  const int64_t head_length = input.head.rows(i);
  const int64_t* ids = input.ids + input.segments.first(i);
  const float* g = input.g_embedding.data + input.segments.first(i) * d;
  const T* a_head = input.a_head.data + input.head.first(i) * d;
  const T* g_head = input.g_head.data + input.head.first(i) * words;
  int* next;
  bool* first;
  split_shared(length, next, first);
  link_positions(ids, length, input.padding_index, next, first);

  double value = 0, squares = 0, mass = 0, head_mass = 0;
  for (int64_t k = threadIdx.x; k < length * d; k += kBlockThreads) {
    const int t = static_cast<int>(k / d);
    const int64_t j = k % d, id = ids[t];
    if (!first[t]) continue;
    if (id < 0 || id >= words) {
      value = NAN;
      continue;
    }
    const Entry entry = entry_of(g, d, next, t, j);
    const double bound = entry_bound(entry.sum, entry.magnitude, entry.rows);
    double head = 0, head_magnitude = 0;
    for (int64_t s = 0; s < head_length; ++s) {
      const double product = double(to_float(g_head[s * words + id])) * double(to_float(a_head[s * d + j]));
      head += product;
      head_magnitude += fabs(product);
    }
    value += entry.sum * head;
    squares += bound * bound;
    mass += entry.magnitude * head_magnitude;
  }
  for (int64_t s = threadIdx.x; s < head_length; s += kBlockThreads)
    head_mass += norm(a_head + s * d, d) * norm(g_head + s * words, words);
  const Cross cross{block_sum(value), block_sum(mass), block_sum(squares), block_sum(head_mass)};
  const int64_t roundings = 2 * (length + head_length + d) + length * d / kBlockThreads;
  if (threadIdx.x == 0) add_up(squared.data[i], cross_bound(cross, roundings, input.spare));
}

}  // namespace

void accumulate_embedding_norms_cuda(const Exec& exec, const int64_t* ids, MatrixView<const float> g,
                                     const Segments& segments, int64_t padding_index, VectorView<double> squared) {
  if (segments.count == 0) return;
  const Grid grid{static_cast<unsigned>(segments.count), kBlockThreads, shared_bytes(segments.length)};
  launch(exec, grid, accumulate_embedding_norms_kernel, ids, g, segments, padding_index, squared);
}

template <class T>
static void launch_tied(const Exec& exec, const TiedInputOf<T>& input, VectorView<double> squared) {
  const Grid grid{static_cast<unsigned>(input.segments.count), kBlockThreads, shared_bytes(input.segments.length)};
  launch(exec, grid, accumulate_tied_cross_norms_kernel<T>, input, squared);
}

void accumulate_tied_cross_norms_cuda(const Exec& exec, const TiedInput& input, VectorView<double> squared) {
  launch_tied(exec, input, squared);
}

void accumulate_tied_cross_norms_cuda(const Exec& exec, const Bfloat16TiedInput& input, VectorView<double> squared) {
  launch_tied(exec, input, squared);
}

}  // namespace sotto::kernels

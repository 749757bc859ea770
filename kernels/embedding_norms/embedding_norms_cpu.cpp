#include "kernels/embedding_norms/embedding_norms_impl.h"
#include "kernels/lanes.h"
#include "kernels/occurrences.h"

namespace sotto::kernels {
namespace {

SOTTO_INLINE double lane_sum(const Double8& x) {
  return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
}

// squares += bound² of `count` columns of at most 8·V of one id's rows, the sums of which go to `sum` unless it is
// null.
template <int V>
SOTTO_INLINE void add_columns(const Occurrence* at, const Occurrence* end, MatrixView<const float> g, int64_t column,
                              int64_t count, double* sum, Double8& squares) {
  const double rounding = rounding_of_sum(end - at);
  Double8 sums[V] = {}, magnitudes[V] = {};
  for (; at != end; ++at) {
    const float* row = g.data + at->row * g.cols + column;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      Float8 x;
      load(x, row + 8 * v, count - 8 * v);
      const Double8 wide = __builtin_convertvector(x, Double8);
      sums[v] += wide;
      magnitudes[v] += wide < 0 ? -wide : wide;
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const Double8 bound = (sums[v] < 0 ? -sums[v] : sums[v]) + rounding * magnitudes[v];
    squares += bound * bound;
    if (sum) *reinterpret_cast<Double8Unaligned*>(sum + column + 8 * v) = sums[v];
  }
}

// Σ_j bound_j² over the rows of one id. Their sum goes to `sum`, past its end in whole vectors of zeros, unless that is
// null.
SOTTO_INLINE double square_of_id(const Occurrence* at, const Occurrence* end, MatrixView<const float> g, double* sum) {
  if (end - at == 1 && !sum) return square_sum(g.data + at->row * g.cols, g.cols);
  Double8 squares = {};
  int64_t j = 0;
  for (; j + 32 <= g.cols; j += 32) add_columns<4>(at, end, g, j, 32, sum, squares);
  for (; j < g.cols; j += 8) add_columns<1>(at, end, g, j, std::min<int64_t>(8, g.cols - j), sum, squares);
  return lane_sum(squares);
}

SOTTO_VECTORISED double square_of_sample(const std::vector<Occurrence>& found, MatrixView<const float> g) {
  double squares = 0;
  const Occurrence* const last = found.data() + found.size();
  for (const Occurrence *at = found.data(), *next; at != last; at = next) {
    next = end_of_id(at, last);
    squares += square_of_id(at, next, g, nullptr);
  }
  return squares;
}

SOTTO_INLINE double norm(const float* x, int64_t n) {
  return std::sqrt(raised(square_sum(x, n), n));
}

// The cross term is Σ_{t,u} g_head[t][u] ⟨a_t, S_u⟩ over the distinct ids u and the sums S_u of their rows: products of
// doubles, in blocks of rows that stay in the second-level cache and tiles whose sums stay in registers.
// Roundings of a term, for T ids and H rows of the head: T in S_u, d/8 + 1 in a lane's dot product, its product with
// g_head, 16 in the tile and 3 over its lanes, H/4 + 1 and T/4 + 1 over a block's tiles, H/64 + 1 and T/64 + 1 over
// blocks: fewer than cross_bound allows for.
constexpr int64_t kBlock = 64, kTile = 4;

struct alignas(64) Lanes {
  double of[8];
};

struct Scratch {
  std::vector<Occurrence> found;
  std::vector<const Occurrence*> words;  // where each distinct id begins, and the end
  std::vector<Lanes> sums, rows;         // of a block: S_u and a_t, in doubles, then zeros
  std::vector<float> met;                // g_head[t][u] of the whole sample, `stride` a row
  std::vector<double> a_norms;           // ‖a_t‖
  alignas(64) double masses[kBlock];     // Σ‖g_s‖ of a block's words, then zeros
  int64_t stride;                        // whole vectors: at least the number of distinct ids
};

SOTTO_INLINE const Double8Unaligned& vector_of(const Lanes& lanes) {
  return *reinterpret_cast<const Double8Unaligned*>(lanes.of);
}

// Σ over a tile of g_head · dot product, of rows of `vectors` vectors.
SOTTO_INLINE double multiply_tile(const Lanes* a, const Lanes* s, int64_t vectors, const float* met, int64_t stride) {
  Double8 dots[kTile][kTile] = {};
  for (int64_t k = 0; k < vectors; ++k)
#pragma GCC unroll 4
    for (int m = 0; m < kTile; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kTile; ++n) dots[m][n] += vector_of(a[m * vectors + k]) * vector_of(s[n * vectors + k]);
  Double8 sum = {};
#pragma GCC unroll 4
  for (int m = 0; m < kTile; ++m)
#pragma GCC unroll 4
    for (int n = 0; n < kTile; ++n) sum += double(met[m * stride + n]) * dots[m][n];
  return lane_sum(sum);
}

int64_t round_up(int64_t n) {
  return (n + kTile - 1) / kTile * kTile;
}

// Fills in ‖a_t‖ and what of g_head the sample's words meet, while its row is in the caches. Returns Σ
// ‖a_t‖‖g_head[t]‖.
SOTTO_VECTORISED double measure_head(const TiedInput& input, int64_t first_head, Scratch& scratch) {
  const int64_t d = input.a_head.cols, distinct = static_cast<int64_t>(scratch.words.size()) - 1;
  double mass = 0;
  for (int64_t t = 0; t < input.head_length; ++t) {
    const float* gradient = input.g_head.data + (first_head + t) * input.g_head.cols;
    scratch.a_norms[t] = norm(input.a_head.data + (first_head + t) * d, d);
    mass += scratch.a_norms[t] * norm(gradient, input.g_head.cols);
    float* const met = scratch.met.data() + t * scratch.stride;
    for (int64_t u = 0; u < distinct; ++u) met[u] = gradient[scratch.words[u]->id];
    std::fill(met + distinct, met + scratch.stride, 0.0f);
  }
  return mass;
}

// S_u and Σ‖g_s‖ of the words [first, first + count). Returns their part of ‖c_E‖².
SOTTO_VECTORISED double sum_words(const TiedInput& input, int64_t first, int64_t count, int64_t vectors,
                                  Scratch& scratch) {
  const MatrixView<const float> g = input.g_embedding;
  std::fill(scratch.sums.begin() + count * vectors, scratch.sums.begin() + round_up(count) * vectors, Lanes{});
  std::fill(scratch.masses, scratch.masses + kBlock, 0.0);
  double squares = 0;
  for (int64_t u = 0; u < count; ++u) {
    const Occurrence *const begin = scratch.words[first + u], *const end = scratch.words[first + u + 1];
    const double square = square_of_id(begin, end, g, scratch.sums[u * vectors].of);
    squares += square;
    if (end - begin == 1)
      scratch.masses[u] = std::sqrt(raised(square, g.cols));
    else
      for (const Occurrence* at = begin; at != end; ++at) scratch.masses[u] += norm(g.data + at->row * g.cols, g.cols);
  }
  return squares;
}

// The rows [begin, begin + rows) of the sample's a_head, which starts at first_head, in doubles.
SOTTO_VECTORISED void load_rows(const TiedInput& input, int64_t first_head, int64_t begin, int64_t rows,
                                int64_t vectors, Scratch& scratch) {
  const int64_t d = input.a_head.cols;
  std::fill(scratch.rows.begin() + rows * vectors, scratch.rows.begin() + round_up(rows) * vectors, Lanes{});
  for (int64_t t = 0; t < rows; ++t) {
    const float* row = input.a_head.data + (first_head + begin + t) * d;
    for (int64_t k = 0; k < vectors; ++k) {
      Float8 x;
      load(x, row + 8 * k, d - 8 * k);
      *reinterpret_cast<Double8Unaligned*>(scratch.rows[t * vectors + k].of) = __builtin_convertvector(x, Double8);
    }
  }
}

// What `count` words from `first` meet in `rows` rows of the head from `begin`, and its mass.
SOTTO_VECTORISED double multiply_block(int64_t begin, int64_t rows, int64_t first, int64_t count, int64_t vectors,
                                       const Scratch& scratch) {
  const float* const met = scratch.met.data() + begin * scratch.stride + first;
  double block = 0;
  for (int64_t u = 0; u < count; u += kTile) {
    double column = 0;
    for (int64_t t = 0; t < rows; t += kTile)
      column += multiply_tile(&scratch.rows[t * vectors], &scratch.sums[u * vectors], vectors,
                              met + t * scratch.stride + u, scratch.stride);
    block += column;
  }
  return block;
}

SOTTO_VECTORISED double mass_of_block(int64_t begin, int64_t rows, int64_t first, int64_t count,
                                      const Scratch& scratch) {
  double block = 0;
  for (int64_t t = begin; t < begin + rows; ++t) {
    const float* const met = scratch.met.data() + t * scratch.stride + first;
    Double8 mass = {};
    for (int64_t u = 0; u < count; u += 8) {
      const Double8 x = __builtin_convertvector(*reinterpret_cast<const Float8Unaligned*>(met + u), Double8);
      mass += (x < 0 ? -x : x) * *reinterpret_cast<const Double8Unaligned*>(scratch.masses + u);
    }
    block += scratch.a_norms[t] * lane_sum(mass);
  }
  return block;
}

void find_words(const TiedInput& input, int64_t sample, Scratch& scratch) {
  find_occurrences(input.ids.data, sample * input.ids.cols, input.ids.cols, input.padding_index, scratch.found);
  const Occurrence* const end = scratch.found.data() + scratch.found.size();
  scratch.words.clear();
  for (const Occurrence* at = scratch.found.data(); at != end; at = end_of_id(at, end)) scratch.words.push_back(at);
  scratch.words.push_back(end);
}

Cross cross_of(const TiedInput& input, int64_t sample, Scratch& scratch) {
  const int64_t first_head = sample * input.head_length, vectors = (input.a_head.cols + 7) / 8;
  find_words(input, sample, scratch);
  const int64_t distinct = static_cast<int64_t>(scratch.words.size()) - 1;
  scratch.stride = (distinct + 7) / 8 * 8;
  scratch.met.resize(static_cast<size_t>(round_up(input.head_length) * scratch.stride));
  std::fill(scratch.met.begin() + input.head_length * scratch.stride, scratch.met.end(), 0.0f);  // a tile's last rows
  Cross cross{0, 0, 0, measure_head(input, first_head, scratch)};
  for (int64_t first = 0; first < distinct; first += kBlock) {
    const int64_t count = std::min(kBlock, distinct - first);
    cross.embedding_square += sum_words(input, first, count, vectors, scratch);
    double value = 0;
    for (int64_t t = 0; t < input.head_length; t += kBlock) {
      const int64_t rows = std::min(kBlock, input.head_length - t);
      load_rows(input, first_head, t, rows, vectors, scratch);
      value += multiply_block(t, rows, first, count, vectors, scratch);
      cross.mass += mass_of_block(t, rows, first, count, scratch);
    }
    cross.value += value;
  }
  return cross;
}

}  // namespace

void add_embedding_norms_cpu(MatrixView<const int64_t> ids, MatrixView<const float> g, int64_t padding_index,
                             double* squared, int64_t begin, int64_t end) {
  thread_local std::vector<Occurrence> found;
  for (int64_t i = begin; i < end; ++i) {
    find_occurrences(ids.data, i * ids.cols, ids.cols, padding_index, found);
    add_up(squared[i], raised(square_of_sample(found, g), ids.cols * g.cols));
  }
}

void add_tied_cross_norms_cpu(const TiedInput& input, double* squared, int64_t begin, int64_t end) {
  thread_local Scratch scratch;
  const size_t vectors = static_cast<size_t>((input.a_head.cols + 7) / 8);
  scratch.sums.resize(kBlock * vectors);
  scratch.rows.resize(kBlock * vectors);
  scratch.a_norms.resize(static_cast<size_t>(input.head_length));
  const int64_t roundings = input.ids.cols * 2 + input.head_length + input.g_embedding.cols;
  for (int64_t i = begin; i < end; ++i) add_up(squared[i], cross_bound(cross_of(input, i, scratch), roundings));
}

}  // namespace sotto::kernels

#include "kernels/double_sum.h"
#include "kernels/embedding_norms/embedding_norms_impl.h"
#include "kernels/occurrences.h"
#include "kernels/widened.h"

namespace sotto::kernels {
namespace {

template <class V>
constexpr int kParts = EightDoubles<V>::kParts;

// squares += bound² of `count` columns of at most 8·N of one id's rows, the sums of which go to `sum` unless it is
// null.
template <int N, class V>
SOTTO_INLINE void add_columns(const Occurrence* at, const Occurrence* end, MatrixView<const float> g, int64_t column,
                              int64_t count, double* sum, EightDoubles<V>& squares) {
  const double rounding = rounding_of_sum(end - at);
  EightDoubles<V> sums[N] = {}, magnitudes[N] = {}, wide;
  for (; at != end; ++at) {
    const float* row = g.data + at->row * g.cols + column;
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      wide.take(row + 8 * v, count - 8 * v);
#pragma GCC unroll 2
      for (int part = 0; part < kParts<V>; ++part) {
        sums[v].of[part] += wide.of[part];
        magnitudes[v].of[part] += wide.of[part] < 0 ? -wide.of[part] : wide.of[part];
      }
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v)
#pragma GCC unroll 2
    for (int part = 0; part < kParts<V>; ++part) {
      const Doubles<V> own = sums[v].of[part], bound = (own < 0 ? -own : own) + rounding * magnitudes[v].of[part];
      squares.of[part] += bound * bound;
      if (sum) doubles_at<V>(sum + column + 8 * v + part * kDoubles<V>) = own;
    }
}

// Σ_j bound_j² over the rows of one id. Their sum goes to `sum`, past its end in whole vectors of zeros, unless that is
// null.
template <class V>
SOTTO_INLINE double square_of_id(const Occurrence* at, const Occurrence* end, MatrixView<const float> g, double* sum) {
  if (end - at == 1 && !sum) return square_sum<V>(g.data + at->row * g.cols, g.cols);
  constexpr int together = kWidth<V> == 16 ? 4 : 2;  // twice as many sums in registers
  EightDoubles<V> squares = {};
  int64_t j = 0;
  for (; j + 8 * together <= g.cols; j += 8 * together)
    add_columns<together, V>(at, end, g, j, 8 * together, sum, squares);
  for (; j < g.cols; j += 8) add_columns<1, V>(at, end, g, j, std::min<int64_t>(8, g.cols - j), sum, squares);
  return squares.sum();
}

struct SquareOfSample {
  template <class V>
  static SOTTO_INLINE double run(const std::vector<Occurrence>& found, MatrixView<const float> g) {
    double squares = 0;
    const Occurrence* const last = found.data() + found.size();
    for (const Occurrence *at = found.data(), *next; at != last; at = next) {
      next = end_of_id(at, last);
      squares += square_of_id<V>(at, next, g, nullptr);
    }
    return squares;
  }
};

template <class V>
SOTTO_INLINE double norm(const float* x, int64_t n) {
  return std::sqrt(raised(square_sum<V>(x, n), n));
}

// The cross term is Σ_{t,u} g_head[t][u] ⟨a_t, S_u⟩ over the distinct ids u and the sums S_u of their rows: products of
// doubles, in blocks of rows that stay in the second-level cache and tiles whose sums stay in registers.
// Roundings of a term, for T ids and H rows of the head: T in S_u, at most d/4 + 1 in a lane's dot product, its product
// with g_head, 16 in the tile and 3 over its lanes, H/4 + 1 and T/4 + 1 over a block's tiles, H/64 + 1 and T/64 + 1
// over blocks: fewer than cross_bound allows for.
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

// Σ over a tile of g_head · dot product, of rows of `vectors` vectors.
template <class V>
SOTTO_INLINE double multiply_tile(const Lanes* a, const Lanes* s, int64_t vectors, const float* met, int64_t stride) {
  constexpr int rows = kWidth<V> == 16 ? 4 : 2;  // of a at a time: a register for each product
  Doubles<V> sum = {};
  for (int first = 0; first < kTile; first += rows, a += rows * vectors, met += rows * stride) {
    Doubles<V> dots[rows][kTile] = {};
    const double *const left = a->of, *const right = s->of;
    for (int64_t k = 0; k < 8 * vectors; k += kDoubles<V>)
#pragma GCC unroll 4
      for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
        for (int n = 0; n < kTile; ++n)
          dots[m][n] += doubles_at<V>(left + m * 8 * vectors + k) * doubles_at<V>(right + n * 8 * vectors + k);
#pragma GCC unroll 4
    for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kTile; ++n) sum += double(met[m * stride + n]) * dots[m][n];
  }
  double total = 0;
  for (int k = 0; k < kDoubles<V>; ++k) total += sum[k];
  return total;
}

int64_t round_up(int64_t n) {
  return (n + kTile - 1) / kTile * kTile;
}

// Fills in ‖a_t‖ and what of g_head the sample's words meet, while its row is in the caches. Returns Σ
// ‖a_t‖‖g_head[t]‖.
struct MeasureHead {
  template <class V>
  static SOTTO_INLINE double run(const TiedInput& input, int64_t first_head, int64_t head_length, Scratch& scratch) {
    const int64_t d = input.a_head.cols, distinct = static_cast<int64_t>(scratch.words.size()) - 1;
    double mass = 0;
    for (int64_t t = 0; t < head_length; ++t) {
      const float* gradient = input.g_head.data + (first_head + t) * input.g_head.cols;
      scratch.a_norms[t] = norm<V>(input.a_head.data + (first_head + t) * d, d);
      mass += scratch.a_norms[t] * norm<V>(gradient, input.g_head.cols);
      float* const met = scratch.met.data() + t * scratch.stride;
      for (int64_t u = 0; u < distinct; ++u) met[u] = gradient[scratch.words[u]->id];
      std::fill(met + distinct, met + scratch.stride, 0.0f);
    }
    return mass;
  }
};

// S_u and Σ‖g_s‖ of the words [first, first + count). Returns their part of ‖c_E‖².
struct SumWords {
  template <class V>
  static SOTTO_INLINE double run(const TiedInput& input, int64_t first, int64_t count, int64_t vectors,
                                 Scratch& scratch) {
    const MatrixView<const float> g = input.g_embedding;
    std::fill(scratch.sums.begin() + count * vectors, scratch.sums.begin() + round_up(count) * vectors, Lanes{});
    std::fill(scratch.masses, scratch.masses + kBlock, 0.0);
    double squares = 0;
    for (int64_t u = 0; u < count; ++u) {
      const Occurrence *const begin = scratch.words[first + u], *const end = scratch.words[first + u + 1];
      const double square = square_of_id<V>(begin, end, g, scratch.sums[u * vectors].of);
      squares += square;
      double& mass = scratch.masses[u];
      if (end - begin == 1)
        mass = std::sqrt(raised(square, g.cols));
      else
        for (const Occurrence* at = begin; at != end; ++at) mass += norm<V>(g.data + at->row * g.cols, g.cols);
    }
    return squares;
  }
};

// The rows [begin, begin + rows) of the sample's a_head, which starts at first_head, in doubles.
struct LoadRows {
  template <class V>
  static SOTTO_INLINE void run(const TiedInput& input, int64_t first_head, int64_t begin, int64_t rows, int64_t vectors,
                               Scratch& scratch) {
    const int64_t d = input.a_head.cols;
    std::fill(scratch.rows.begin() + rows * vectors, scratch.rows.begin() + round_up(rows) * vectors, Lanes{});
    for (int64_t t = 0; t < rows; ++t) {
      const float* row = input.a_head.data + (first_head + begin + t) * d;
      EightDoubles<V> wide;
      for (int64_t k = 0; k < vectors; ++k) {
        wide.take(row + 8 * k, d - 8 * k);
        std::memcpy(scratch.rows[t * vectors + k].of, wide.of, sizeof(wide.of));
      }
    }
  }
};

// What `count` words from `first` meet in `rows` rows of the head from `begin`, and its mass.
struct MultiplyBlock {
  template <class V>
  static SOTTO_INLINE double run(int64_t begin, int64_t rows, int64_t first, int64_t count, int64_t vectors,
                                 const Scratch& scratch) {
    const float* const met = scratch.met.data() + begin * scratch.stride + first;
    double block = 0;
    for (int64_t u = 0; u < count; u += kTile) {
      double column = 0;
      for (int64_t t = 0; t < rows; t += kTile)
        column += multiply_tile<V>(&scratch.rows[t * vectors], &scratch.sums[u * vectors], vectors,
                                   met + t * scratch.stride + u, scratch.stride);
      block += column;
    }
    return block;
  }
};

struct MassOfBlock {
  template <class V>
  static SOTTO_INLINE double run(int64_t begin, int64_t rows, int64_t first, int64_t count, const Scratch& scratch) {
    double block = 0;
    for (int64_t t = begin; t < begin + rows; ++t) {
      const float* const met = scratch.met.data() + t * scratch.stride + first;
      EightDoubles<V> mass = {}, x;
      for (int64_t u = 0; u < count; u += 8) {
        x.take(met + u, 8);
#pragma GCC unroll 2
        for (int part = 0; part < kParts<V>; ++part)
          mass.of[part] +=
              (x.of[part] < 0 ? -x.of[part] : x.of[part]) * doubles_at<V>(scratch.masses + u + part * kDoubles<V>);
      }
      block += scratch.a_norms[t] * mass.sum();
    }
    return block;
  }
};

void find_words(const TiedInput& input, int64_t sample, Scratch& scratch) {
  find_occurrences(input.ids, input.segments.first(sample), input.segments.rows(sample), input.padding_index,
                   scratch.found);
  const Occurrence* const end = scratch.found.data() + scratch.found.size();
  scratch.words.clear();
  for (const Occurrence* at = scratch.found.data(); at != end; at = end_of_id(at, end)) scratch.words.push_back(at);
  scratch.words.push_back(end);
}

// Of the sample whose rows of the head begin at first_head.
Cross cross_of(const TiedInput& input, int64_t sample, int64_t first_head, int64_t head_length, Scratch& scratch) {
  const int64_t vectors = (input.a_head.cols + 7) / 8;
  find_words(input, sample, scratch);
  const int64_t distinct = static_cast<int64_t>(scratch.words.size()) - 1;
  scratch.stride = (distinct + 7) / 8 * 8;
  scratch.met.resize(static_cast<size_t>(round_up(head_length) * scratch.stride));
  std::fill(scratch.met.begin() + head_length * scratch.stride, scratch.met.end(), 0.0f);  // a tile's last rows
  Cross cross{0, 0, 0, run_widest<MeasureHead>(input, first_head, head_length, scratch)};
  for (int64_t first = 0; first < distinct; first += kBlock) {
    const int64_t count = std::min(kBlock, distinct - first);
    cross.embedding_square += run_widest<SumWords>(input, first, count, vectors, scratch);
    double value = 0;
    for (int64_t t = 0; t < head_length; t += kBlock) {
      const int64_t rows = std::min(kBlock, head_length - t);
      run_widest<LoadRows>(input, first_head, t, rows, vectors, scratch);
      value += run_widest<MultiplyBlock>(t, rows, first, count, vectors, scratch);
      cross.mass += run_widest<MassOfBlock>(t, rows, first, count, scratch);
    }
    cross.value += value;
  }
  return cross;
}

Scratch& scratch_for(int64_t d, int64_t head_length) {
  thread_local Scratch scratch;
  const size_t vectors = static_cast<size_t>((d + 7) / 8);
  scratch.sums.resize(kBlock * vectors);
  scratch.rows.resize(kBlock * vectors);
  scratch.a_norms.resize(static_cast<size_t>(head_length));
  return scratch;
}

template <class T>
int64_t roundings_of(const TiedInputOf<T>& input, int64_t sample) {
  return input.segments.rows(sample) * 2 + input.head.rows(sample) + input.g_embedding.cols;
}

}  // namespace

void add_embedding_norms_cpu(const int64_t* ids, MatrixView<const float> g, const Segments& segments,
                             int64_t padding_index, double* squared, int64_t begin, int64_t end) {
  thread_local std::vector<Occurrence> found;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t rows = segments.rows(i);
    find_occurrences(ids, segments.first(i), rows, padding_index, found);
    add_up(squared[i], raised(run_widest<SquareOfSample>(found, g), rows * g.cols));
  }
}

void add_tied_cross_norms_cpu(const TiedInput& input, double* squared, int64_t begin, int64_t end) {
  Scratch& scratch = scratch_for(input.a_head.cols, input.head.length);
  for (int64_t i = begin; i < end; ++i) {
    const Cross cross = cross_of(input, i, input.head.first(i), input.head.rows(i), scratch);
    add_up(squared[i], cross_bound(cross, roundings_of(input, i), input.spare));
  }
}

// A sample at a time: its floats stay in cache where they are few.
void add_tied_cross_norms_cpu(const Bfloat16TiedInput& input, double* squared, int64_t begin, int64_t end) {
  thread_local std::vector<float> a, g;
  Scratch& scratch = scratch_for(input.a_head.cols, input.head.length);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t first = input.head.first(i), rows = input.head.rows(i);
    const TiedInput own{input.ids,
                        input.g_embedding,
                        input.segments,
                        input.padding_index,
                        widened(input.a_head, first, rows, a),
                        widened(input.g_head, first, rows, g),
                        input.head,
                        input.spare};
    add_up(squared[i], cross_bound(cross_of(own, i, 0, rows, scratch), roundings_of(input, i), input.spare));
  }
}

}  // namespace sotto::kernels

#include <vector>

#include "base/parallel.h"
#include "kernels/clipped_sum/clipped_sum_impl.h"
#include "kernels/lanes.h"
#include "kernels/occurrences.h"

namespace sotto::kernels {
namespace {

// Columns whose sums stay in registers while an id's rows pass: a row of them is whole lines of the cache.
template <class V>
constexpr int64_t kColumns = 4 * kDoubles<V>;
constexpr int64_t kWidestColumns = 32;
// Ids are in the order of the vocabulary, their rows anywhere in g: no processor finds the next ones by itself.
constexpr int64_t kAhead = 4;

struct Row {
  const float* gradient;
  int64_t sample;
};

// Rows [begin, end) of the sorted rows belong to one id, `out` is its row of the sum.
struct Word {
  int64_t begin, end;
  float* out;
};

struct Plan {
  std::vector<Occurrence> occurrences;
  std::vector<Row> rows;  // and kAhead more, to look ahead to
  std::vector<Word> words;
};

void make_plan(const int64_t* ids, MatrixView<const float> g, const float* factors, const Segments& segments,
               int64_t padding_index, MatrixView<float> sum, Plan& plan) {
  find_occurrences(ids, 0, g.rows, padding_index, plan.occurrences);
  plan.rows.clear();
  plan.words.clear();
  int64_t id = -1;
  for (const Occurrence& at : plan.occurrences) {
    const int64_t sample = segments.sample_of(at.row), place = static_cast<int64_t>(plan.rows.size());
    if (factors[sample] == 0) continue;  // 0 · NaN would poison the sum
    if (at.id != id) plan.words.push_back({place, place, sum.data + at.id * sum.cols});
    id = at.id;
    plan.rows.push_back({g.data + at.row * g.cols, sample});
    plan.words.back().end = place + 1;
  }
  if (!plan.rows.empty()) plan.rows.insert(plan.rows.end(), kAhead, plan.rows.back());
}

// out += Σ f · g over one id's rows, in `count` columns of at most N vectors of doubles. A sample's rows are summed
// before its factor is applied.
template <int N, class V>
SOTTO_INLINE void add_columns(const Row* row, const Row* end, const float* factors, int64_t column, int64_t count,
                              float* out) {
  constexpr int64_t width = kDoubles<V>;
  Doubles<V> total[N] = {};
  while (row != end) {
    const int64_t sample = row->sample;
    Doubles<V> sum[N] = {};
    for (; row != end && row->sample == sample; ++row) {
      for (int64_t line = 0; line < N * width; line += 16) __builtin_prefetch(row[kAhead].gradient + column + line);
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) {
        Doubles<V> x;
        load_wide<V>(x, row->gradient + column + v * width, count - v * width);
        sum[v] += x;
      }
    }
    const double factor = factors[sample];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) total[v] += factor * sum[v];
  }
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) {
    Doubles<V> before;
    load_wide<V>(before, out + v * width, count - v * width);
    store_narrow<V>(before + total[v], out + v * width, count - v * width);
  }
}

struct AddWords {
  template <class V>
  static SOTTO_INLINE void run(const Plan& plan, const Word* word, const Word* last, const float* factors,
                               int64_t begin, int64_t end) {
    constexpr int64_t columns = kColumns<V>, width = kDoubles<V>;
    for (; word != last; ++word) {
      const Row *first = plan.rows.data() + word->begin, *past = plan.rows.data() + word->end;
      const float* next = (word + 1 == last ? word : word + 1)->out;
      int64_t j = begin;
      for (; j + columns <= end; j += columns) {
        for (int64_t line = 0; line < columns; line += 16) __builtin_prefetch(next + j + line, 1);
        add_columns<4, V>(first, past, factors, j, columns, word->out + j);
      }
      for (; j < end; j += width) add_columns<1, V>(first, past, factors, j, std::min(width, end - j), word->out + j);
    }
  }
};

}  // namespace

// The work is cut into stripes of columns, one a thread where there are enough, since they are even whatever the ids;
// several threads of one stripe divide its words by their rows.
void accumulate_clipped_embedding_cpu(const Exec& exec, const int64_t* ids, MatrixView<const float> g,
                                      VectorView<const float> factors, const Segments& segments, int64_t padding_index,
                                      MatrixView<float> sum) {
  thread_local Plan made;
  require_ids(ids, segments, padding_index, sum.rows);
  make_plan(ids, g, factors.data, segments, padding_index, sum, made);
  if (made.words.empty() || g.cols == 0) return;
  const Plan& plan = made;  // a thread's own `made` is another
  const int64_t threads = std::max(exec.threads(), 1), rows = plan.words.back().end;
  const int64_t width = ((g.cols + threads - 1) / threads + kWidestColumns - 1) / kWidestColumns * kWidestColumns;
  const int64_t stripes = (g.cols + width - 1) / width;
  const auto first_from = [&plan](int64_t row) {
    return std::lower_bound(plan.words.data(), plan.words.data() + plan.words.size(), row,
                            [](const Word& word, int64_t sought) { return word.begin < sought; });
  };
  parallel_for(exec.threads(), stripes * rows, 65536 / std::min(width, g.cols) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t stripe = begin / rows; stripe * rows < end; ++stripe)
      run_widest<AddWords>(plan, first_from(begin - stripe * rows), first_from(std::min(end - stripe * rows, rows)),
                           factors.data, stripe * width, std::min((stripe + 1) * width, g.cols));
  });
}

}  // namespace sotto::kernels

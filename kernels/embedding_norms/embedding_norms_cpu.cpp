#include "kernels/embedding_norms/embedding_norms_impl.h"
#include "kernels/occurrences.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {
namespace {

// sum = Σ of the rows of one id, in their order, and magnitude = Σ of absolute values. Returns Σ_j bound_j².
SOTTO_VECTORISED double add_rows(const Occurrence* begin, const Occurrence* end, MatrixView<const float> g, double* sum,
                                 double* magnitude) {
  const int64_t d = g.cols, n = end - begin;
  std::fill(sum, sum + d, 0.0);
  std::fill(magnitude, magnitude + d, 0.0);
  for (; begin != end; ++begin) {
    const float* row = g.data + begin->row * d;
    for (int64_t j = 0; j < d; ++j) {
      sum[j] += double(row[j]);
      magnitude[j] += std::fabs(double(row[j]));
    }
  }
  double squares = 0;
  for (int64_t j = 0; j < d; ++j) {
    const double bound = entry_bound(sum[j], magnitude[j], n);
    squares += bound * bound;
  }
  return squares;
}

// sum += Σ_t g_head[t][id] · a_head[t]. Returns Σ_t |g_head[t][id]| · ‖a_head[t]‖.
SOTTO_VECTORISED double add_head_row(const TiedInput& input, int64_t first, int64_t id, const double* a_norms,
                                     double* sum) {
  const int64_t d = input.a_head.cols;
  double mass = 0;
  for (int64_t t = 0; t < input.head_length; ++t) {
    const double gradient = input.g_head.data[(first + t) * input.g_head.cols + id];
    const float* row = input.a_head.data + (first + t) * d;
    for (int64_t j = 0; j < d; ++j) sum[j] += gradient * double(row[j]);
    mass += std::fabs(gradient) * a_norms[t];
  }
  return mass;
}

SOTTO_VECTORISED double norm(const float* x, int64_t n) {
  return std::sqrt(raised(square_sum(x, n), n));
}

double dot(const double* x, const double* y, int64_t n) {
  double sum = 0;
  for (int64_t j = 0; j < n; ++j) sum += x[j] * y[j];
  return sum;
}

struct Scratch {
  std::vector<Occurrence> found;
  std::vector<double> sum, magnitude, head, a_norms;
};

Cross cross_of(const TiedInput& input, int64_t sample, Scratch& scratch) {
  const int64_t d = input.g_embedding.cols, first_head = sample * input.head_length;
  Cross cross{0, 0, 0, 0};
  scratch.a_norms.resize(static_cast<size_t>(input.head_length));
  for (int64_t t = 0; t < input.head_length; ++t) {
    scratch.a_norms[t] = norm(input.a_head.data + (first_head + t) * d, d);
    cross.head_mass +=
        scratch.a_norms[t] * norm(input.g_head.data + (first_head + t) * input.g_head.cols, input.g_head.cols);
  }
  find_occurrences(input.ids.data, sample * input.ids.cols, input.ids.cols, input.padding_index, scratch.found);
  const Occurrence* const end = scratch.found.data() + scratch.found.size();
  for (const Occurrence *at = scratch.found.data(), *next; at != end; at = next) {
    next = end_of_id(at, end);
    cross.embedding_square += add_rows(at, next, input.g_embedding, scratch.sum.data(), scratch.magnitude.data());
    double g_mass = 0;
    for (const Occurrence* row = at; row != next; ++row) g_mass += norm(input.g_embedding.data + row->row * d, d);
    std::fill(scratch.head.begin(), scratch.head.end(), 0.0);
    cross.mass += g_mass * add_head_row(input, first_head, at->id, scratch.a_norms.data(), scratch.head.data());
    cross.value += dot(scratch.sum.data(), scratch.head.data(), d);
  }
  return cross;
}

}  // namespace

void add_embedding_norms_cpu(MatrixView<const int64_t> ids, MatrixView<const float> g, int64_t padding_index,
                             double* squared, int64_t begin, int64_t end) {
  thread_local Scratch scratch;
  scratch.sum.resize(static_cast<size_t>(g.cols));
  scratch.magnitude.resize(static_cast<size_t>(g.cols));
  for (int64_t i = begin; i < end; ++i) {
    find_occurrences(ids.data, i * ids.cols, ids.cols, padding_index, scratch.found);
    double squares = 0;
    const Occurrence* const last = scratch.found.data() + scratch.found.size();
    for (const Occurrence *at = scratch.found.data(), *next; at != last; at = next) {
      next = end_of_id(at, last);
      squares += add_rows(at, next, g, scratch.sum.data(), scratch.magnitude.data());
    }
    add_up(squared[i], raised(squares, ids.cols * g.cols));
  }
}

void add_tied_cross_norms_cpu(const TiedInput& input, double* squared, int64_t begin, int64_t end) {
  thread_local Scratch scratch;
  for (std::vector<double>* vector : {&scratch.sum, &scratch.magnitude, &scratch.head})
    vector->resize(static_cast<size_t>(input.g_embedding.cols));
  const int64_t roundings = input.ids.cols * 2 + input.head_length + input.g_embedding.cols;
  for (int64_t i = begin; i < end; ++i) add_up(squared[i], cross_bound(cross_of(input, i, scratch), roundings));
}

}  // namespace sotto::kernels

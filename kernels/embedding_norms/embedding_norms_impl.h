#pragma once
#include <cmath>

#include "kernels/embedding_norms/embedding_norms.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

template <class T>
struct TiedInputOf {
  const int64_t* ids;
  MatrixView<const float> g_embedding;
  Segments segments;
  int64_t padding_index;
  MatrixView<const T> a_head, g_head;
  Segments head;
  double spare;  // what the head's clipped sum may round: kSampleRounding or kTensorSampleRounding
};
using TiedInput = TiedInputOf<float>;
using Bfloat16TiedInput = TiedInputOf<Bfloat16>;

// Times Σ|x|: how far the double sum of n floats x may be from the true one. One float is its own sum.
SOTTO_HOST_DEVICE inline double rounding_of_sum(int64_t n) {
  return n == 1 ? 0 : 2 * double(n) * kDoubleUnit;
}

// An upper bound on |x| for x = the double sum of n floats whose absolute values sum to `magnitude`.
SOTTO_HOST_DEVICE inline double entry_bound(double sum, double magnitude, int64_t n) {
  return fabs(sum) + rounding_of_sum(n) * magnitude;
}

// What is known of a sample's cross term ⟨c_E, c_H⟩.
struct Cross {
  double value;  // in double
  double mass;   // Σ |g_head[t][id_s]|‖a_t‖‖g_s‖, which bounds the sum of absolute values of its terms
  double embedding_square;  // ‖c_E‖²
  double head_mass;         // Σ ‖g_head[t]‖‖a_t‖
};

// Besides the roundings of `value`: accumulate_clipped_outer may move c_H by spare · head_mass. Of the
// 2‖c_E + c_H‖ that multiply it in the square, the ghost norm of the head has added 2‖c_H‖, and 2‖c_E‖ is added here.
// Where the parts nearly cancel, (‖c_E‖² + ‖c_H‖²)/64 is kept: ‖c_H‖ ≥ |x| / (2‖c_E‖), so the bound below keeps it.
SOTTO_HOST_DEVICE inline double cross_bound(const Cross& cross, int64_t roundings, double spare) {
  const double error = 4 * double(roundings + 32) * kDoubleUnit * cross.mass +
                       2 * spare * cross.head_mass * sqrt(cross.embedding_square);
  const double bound = 2 * cross.value + error * (1 + 64 * kDoubleUnit);
  if (cross.embedding_square == 0) return bound;
  const double lowest = -(1 - 1.0 / 64) * (cross.embedding_square + bound * bound / (4 * cross.embedding_square));
  return bound < lowest ? lowest : bound;
}

void accumulate_embedding_norms_cuda(const Exec& exec, const int64_t* ids, MatrixView<const float> g,
                                     const Segments& segments, int64_t padding_index, VectorView<double> squared);
void accumulate_tied_cross_norms_cuda(const Exec& exec, const TiedInput& input, VectorView<double> squared);
void accumulate_tied_cross_norms_cuda(const Exec& exec, const Bfloat16TiedInput& input, VectorView<double> squared);
void add_embedding_norms_cpu(const int64_t* ids, MatrixView<const float> g, const Segments& segments,
                             int64_t padding_index, double* squared, int64_t begin, int64_t end);
void add_tied_cross_norms_cpu(const TiedInput& input, double* squared, int64_t begin, int64_t end);
void add_tied_cross_norms_cpu(const Bfloat16TiedInput& input, double* squared, int64_t begin, int64_t end);

}  // namespace sotto::kernels

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>

#include "base/parallel.h"
#include "kernels/clip/clip_impl.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {
namespace {

typedef int64_t Long8 __attribute__((vector_size(64)));
typedef int32_t Int8 __attribute__((vector_size(32)));

// The compiler keeps to single roots for the sake of errno. A processor takes as long for four pairs as for eight
// doubles.
SOTTO_INLINE void take_roots(Double8& x) {
#ifdef __SSE2__
  const __m128d a = _mm_sqrt_pd(__builtin_shufflevector(x, x, 0, 1)),
                b = _mm_sqrt_pd(__builtin_shufflevector(x, x, 2, 3));
  const __m128d c = _mm_sqrt_pd(__builtin_shufflevector(x, x, 4, 5)),
                d = _mm_sqrt_pd(__builtin_shufflevector(x, x, 6, 7));
  x = __builtin_shufflevector(__builtin_shufflevector(a, b, 0, 1, 2, 3), __builtin_shufflevector(c, d, 0, 1, 2, 3), 0,
                              1, 2, 3, 4, 5, 6, 7);
#else
  for (int k = 0; k < 8; ++k) x[k] = std::sqrt(x[k]);
#endif
}

// clip_factor of eight squared norms, without its branches: which way the rounding goes is chance.
SOTTO_INLINE void find_factors(const double* squared, const ClipFunction& function, double clip_norm, float* factors) {
  const Double8 given = *reinterpret_cast<const Double8Unaligned*>(squared);
  Double8 norm = given >= 0 ? given : Double8{} + INFINITY, factor;  // NaN too; every rule gives 0 for infinity
  take_roots(norm);
  unrounded_factor(norm, function, clip_norm, factor);
  const Float8 nearest = __builtin_convertvector(factor, Float8);
  const Long8 above = __builtin_convertvector(nearest, Double8) > factor;  // -1 where it is
  // The next float towards 0 has the next lower bits.
  const Int8 rounded_down = (Int8)nearest + __builtin_convertvector(above, Int8);
  *reinterpret_cast<Float8Unaligned*>(factors) = (Float8)rounded_down;
}

template <ClipRule kRule>
SOTTO_INLINE void find_all(const double* squared, double stability, double clip_norm, float* factors, int64_t count) {
  const ClipFunction function{kRule, stability};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) find_factors(squared + i, function, clip_norm, factors + i);
  if (i == count) return;
  double last[8] = {};
  float found[8];
  std::copy(squared + i, squared + count, last);
  find_factors(last, function, clip_norm, found);
  std::copy(found, found + (count - i), factors + i);
}

SOTTO_VECTORISED void find_range(const double* squared, const ClipFunction& function, double clip_norm, float* factors,
                                 int64_t count) {
  const double stability = function.stability;
  switch (function.rule) {
    case ClipRule::flat:
      return find_all<ClipRule::flat>(squared, stability, clip_norm, factors, count);
    case ClipRule::automatic:
      return find_all<ClipRule::automatic>(squared, stability, clip_norm, factors, count);
    case ClipRule::psac:
      return find_all<ClipRule::psac>(squared, stability, clip_norm, factors, count);
  }
}

}  // namespace

void clip_factors_cpu(const Exec& exec, VectorView<const double> squared, const ClipFunction& function,
                      double clip_norm, VectorView<float> factors) {
  parallel_for(exec.threads(), squared.size, 32768, [&](int64_t begin, int64_t end) {
    find_range(squared.data + begin, function, clip_norm, factors.data + begin, end - begin);
  });
}

}  // namespace sotto::kernels

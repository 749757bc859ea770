#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>

#include "base/parallel.h"
#include "kernels/clip/clip_impl.h"
#include "kernels/lanes.h"

namespace sotto::kernels {
namespace {

// The compiler keeps to single roots for the sake of errno. A processor takes as long for four pairs as for eight
// doubles.
SOTTO_INLINE void take_roots(Double4& x) {
#ifdef __SSE2__
  const __m128d a = _mm_sqrt_pd(__builtin_shufflevector(x, x, 0, 1)),
                b = _mm_sqrt_pd(__builtin_shufflevector(x, x, 2, 3));
  x = __builtin_shufflevector(a, b, 0, 1, 2, 3);
#else
  for (int k = 0; k < 4; ++k) x[k] = std::sqrt(x[k]);
#endif
}

SOTTO_INLINE void take_roots(Double8& x) {
  Double4 low = __builtin_shufflevector(x, x, 0, 1, 2, 3), high = __builtin_shufflevector(x, x, 4, 5, 6, 7);
  take_roots(low);
  take_roots(high);
  x = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
}

// clip_factor of a register of squared norms, without its branches: which way the rounding goes is chance.
template <class V>
SOTTO_INLINE void find_factors(const double* squared, const ClipFunction& function, double clip_norm, float* factors) {
  using Half = typename LanesOf<V>::Half;
  typedef int32_t Int __attribute__((vector_size(sizeof(Half))));
  const Doubles<V> given = doubles_at<V>(squared);
  Doubles<V> norm = given >= 0 ? given : Doubles<V>{} + INFINITY;  // NaN too; every rule gives 0 for infinity
  Doubles<V> factor, rounded;
  take_roots(norm);
  unrounded_factor(norm, function, clip_norm, factor);
  const Half nearest = __builtin_convertvector(factor, Half);
  widen(nearest, rounded);
  // The next float towards 0 has the next lower bits; the comparison is -1 where it is to be taken.
  const Int bits = reinterpret_cast<Int>(nearest) + __builtin_convertvector(rounded > factor, Int);
  *reinterpret_cast<typename LanesOf<V>::HalfUnaligned*>(factors) = reinterpret_cast<Half>(bits);
}

template <ClipRule kRule, class V>
SOTTO_INLINE void find_all(const double* squared, double stability, double clip_norm, float* factors, int64_t count) {
  constexpr int64_t width = kDoubles<V>;
  const ClipFunction function{kRule, stability};
  int64_t i = 0;
  for (; i + width <= count; i += width) find_factors<V>(squared + i, function, clip_norm, factors + i);
  if (i == count) return;
  double last[width] = {};
  float found[width];
  std::copy(squared + i, squared + count, last);
  find_factors<V>(last, function, clip_norm, found);
  std::copy(found, found + (count - i), factors + i);
}

struct FindFactors {
  template <class V>
  static SOTTO_INLINE void run(const double* squared, const ClipFunction& function, double clip_norm, float* factors,
                               int64_t count) {
    const double stability = function.stability;
    switch (function.rule) {
      case ClipRule::flat:
        return find_all<ClipRule::flat, V>(squared, stability, clip_norm, factors, count);
      case ClipRule::automatic:
        return find_all<ClipRule::automatic, V>(squared, stability, clip_norm, factors, count);
      case ClipRule::psac:
        return find_all<ClipRule::psac, V>(squared, stability, clip_norm, factors, count);
    }
  }
};

}  // namespace

void clip_factors_cpu(const Exec& exec, VectorView<const double> squared, const ClipFunction& function,
                      double clip_norm, VectorView<float> factors) {
  parallel_for(exec.threads(), squared.size, 32768, [&](int64_t begin, int64_t end) {
    run_widest<FindFactors>(squared.data + begin, function, clip_norm, factors.data + begin, end - begin);
  });
}

}  // namespace sotto::kernels

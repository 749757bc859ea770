#include "kernels/clip/clip.h"

#include "base/error.h"
#include "kernels/clip/clip_impl.h"

namespace sotto::kernels {

void clip_factors(const Exec& exec, VectorView<const double> squared, const ClipFunction& function, double clip_norm,
                  VectorView<float> factors) {
  require(clip_norm >= kSmallestClipNorm && clip_norm <= kLargestClipNorm,
          "clip_norm must be positive and finite, between 2^-60 and 2^60, got ", clip_norm);
  require(factors.size == squared.size, "need a factor a norm: ", factors.size, " factors for ", squared.size,
          " norms");
  require(function.rule != ClipRule::psac || (function.stability > 0 && function.stability <= 1),
          "psac's stability must be in (0, 1], got ", function.stability);
  if (exec.on_cuda()) return clip_factors_cuda(exec, squared, function, clip_norm, factors);
  clip_factors_cpu(exec, squared, function, clip_norm, factors);
}

ClipCount count_clipped(VectorView<const float> factors) {
  ClipCount count{0, 0};
  for (int64_t i = 0; i < factors.size; ++i) {
    count.non_finite += factors.data[i] == 0;
    count.clipped += factors.data[i] > 0 && factors.data[i] < 1;
  }
  return count;
}

}  // namespace sotto::kernels

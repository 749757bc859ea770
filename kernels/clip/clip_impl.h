#pragma once
#include <cmath>

#include "kernels/clip/clip.h"
#include "kernels/rounding.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {

// factor = f of `norm` before it is rounded to float. `Real` is double or a vector of doubles.
template <class Real>
SOTTO_HOST_DEVICE SOTTO_INLINE void unrounded_factor(const Real& norm, const ClipFunction& function, double clip_norm,
                                                     Real& factor) {
  Real length = norm + 0.0;  // what clip_norm is divided by: never below the norm, and not -0
  if (function.rule == ClipRule::automatic) length = norm + clip_norm;
  if (function.rule == ClipRule::psac) {
    const double r = function.stability, unit = clip_norm / (2 * sqrt(r) - r);
    length = norm + unit * r / (norm / unit + r);
  }
  // The last factor pays for the roundings of these expressions: at most eight, half an ulp of double each.
  factor = clip_norm * (1 - 4 * kFloatUnit) / length * (1 - 16 * kDoubleUnit);
  factor = factor < 1 ? factor : Real{} + 1;
}

SOTTO_HOST_DEVICE inline float clip_factor(double squared, const ClipFunction& function, double clip_norm) {
  if (!(squared >= 0 && squared < INFINITY)) return 0.0f;
  double factor;
  unrounded_factor(sqrt(squared), function, clip_norm, factor);
  const float nearest = static_cast<float>(factor);
  return nearest > factor ? nextafterf(nearest, 0.0f) : nearest;
}

void clip_factors_cpu(const Exec& exec, VectorView<const double> squared, const ClipFunction& function,
                      double clip_norm, VectorView<float> factors);
void clip_factors_cuda(const Exec& exec, VectorView<const double> squared, const ClipFunction& function,
                       double clip_norm, VectorView<float> factors);

}  // namespace sotto::kernels

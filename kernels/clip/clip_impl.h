#pragma once
#include <cmath>

#include "kernels/clip/clip.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

SOTTO_HOST_DEVICE inline float clip_factor(double squared, const ClipFunction& function, double clip_norm) {
  if (!(squared >= 0 && squared < INFINITY)) return 0.0f;
  const double norm = sqrt(squared);
  double length = norm;  // what clip_norm is divided by: never below the norm
  if (function.rule == ClipRule::automatic) length = norm + clip_norm;
  if (function.rule == ClipRule::psac) {
    const double r = function.stability, unit = clip_norm / (2 * sqrt(r) - r), scaled = norm / unit;
    length = norm + unit * r / (scaled + r);
  }
  // The last factor pays for the roundings of these expressions: at most eight, half an ulp of double each.
  const double factor = clip_norm * (1 - 4 * kFloatUnit) / length * (1 - 16 * kDoubleUnit);
  if (factor >= 1) return 1.0f;
  const float nearest = static_cast<float>(factor);
  return nearest > factor ? nextafterf(nearest, 0.0f) : nearest;
}

void clip_factors_cuda(const Exec& exec, VectorView<const double> squared, const ClipFunction& function,
                       double clip_norm, VectorView<float> factors);

}  // namespace sotto::kernels

#pragma once
#include <cmath>

#include "kernels/clip/clip.h"
#include "kernels/rounding.h"

namespace sotto::kernels {

SOTTO_HOST_DEVICE inline float clip_factor(double squared, double clip_norm) {
  if (!(squared >= 0 && squared < INFINITY)) return 0.0f;
  // The last factor pays for the roundings of this expression: √, ÷ and the products, half an ulp of double each.
  const double factor = clip_norm * (1 - 4 * kFloatUnit) / sqrt(squared) * (1 - 16 * kDoubleUnit);
  if (factor >= 1) return 1.0f;
  const float nearest = static_cast<float>(factor);
  return nearest > factor ? nextafterf(nearest, 0.0f) : nearest;
}

void clip_factors_cuda(const Exec& exec, VectorView<const double> squared, double clip_norm, VectorView<float> factors);

}  // namespace sotto::kernels

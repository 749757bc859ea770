#pragma once
#include <cmath>

#include "kernels/noise/noise_impl.h"
#include "kernels/update/update.h"

namespace sotto::kernels {

// Settings as the kernels use them: computed once in double, rounded once.
struct SgdFactors {
  float scale;  // 1 / divisor
  float learning_rate, momentum, weight_decay;
};

struct AdamFactors {
  float scale;
  float weight_decay, shrink;  // λ where coupled; 1 - lr · λ where decoupled
  float new_first, keep_second, new_second;
  float step_size, second_correction, epsilon;
};

// `noised` is sum + noise. With has_momentum false, `velocity` is not touched.
template <bool has_momentum>
SOTTO_FORMULA void sgd_step(const SgdFactors& f, float noised, float& velocity, float& parameter) {
  float gradient = noised * f.scale;
  if (f.weight_decay != 0.0f) gradient = gradient + f.weight_decay * parameter;
  if constexpr (has_momentum) gradient = velocity = f.momentum * velocity + gradient;
  parameter = parameter - f.learning_rate * gradient;
}

SOTTO_FORMULA void adam_step(const AdamFactors& f, float noised, float& first_moment, float& second_moment,
                             float& parameter) {
  float gradient = noised * f.scale;
  if (f.weight_decay != 0.0f) gradient = gradient + f.weight_decay * parameter;
  first_moment = first_moment + f.new_first * (gradient - first_moment);
  second_moment = f.keep_second * second_moment + f.new_second * gradient * gradient;
  const float spread = sqrtf(second_moment) * f.second_correction + f.epsilon;
  parameter = f.shrink * parameter - f.step_size * (first_moment / spread);
}

struct LambFactors {
  float scale;
  float learning_rate, weight_decay;
  float new_first, keep_second, new_second;
  float first_correction, second_correction, epsilon;
};

// What LAMB goes along, from the moments of this step.
SOTTO_FORMULA float lamb_direction(const LambFactors& f, float first_moment, float second_moment, float parameter) {
  const float spread = sqrtf(second_moment) * f.second_correction + f.epsilon;
  return first_moment * f.first_correction / spread + f.weight_decay * parameter;
}

SOTTO_FORMULA float lamb_moments(const LambFactors& f, float noised, float& first_moment, float& second_moment,
                                 float parameter) {
  const float gradient = noised * f.scale;
  first_moment = first_moment + f.new_first * (gradient - first_moment);
  second_moment = f.keep_second * second_moment + f.new_second * gradient * gradient;
  return lamb_direction(f, first_moment, second_moment, parameter);
}

// How far along: lr · ‖w‖ / ‖r‖.
SOTTO_FORMULA float lamb_rate(const LambFactors& f, double parameter_square, double direction_square) {
  if (parameter_square == 0 || direction_square == 0) return f.learning_rate;
  return static_cast<float>(f.learning_rate * sqrt(parameter_square / direction_square));
}

// The settings' checks and factors, for every update (update.cpp).
float scale_of(double divisor);
void require_common(double learning_rate, double weight_decay, int64_t sum, int64_t parameter);
void require_adam(const AdamSettings& settings, int64_t first_moment, int64_t second_moment, int64_t parameter);

// `noise` is null where there is none, `momentum` where μ = 0.
void sgd_cuda(const Exec& exec, const NoisePlan* noise, const SgdFactors& factors, const float* sum, float* momentum,
              VectorView<float> parameter);
void adam_cuda(const Exec& exec, const NoisePlan* noise, const AdamFactors& factors, const float* sum,
               float* first_moment, float* second_moment, VectorView<float> parameter);

}  // namespace sotto::kernels

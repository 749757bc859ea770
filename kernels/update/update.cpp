#include "kernels/update/update.h"

#include <cmath>

#include "base/error.h"
#include "kernels/update/chunks.h"
#include "kernels/update/planned.h"
#include "kernels/update/update_impl.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {
namespace {

// Copies of the factors: through a reference each store might change them, and no loop could be vectorised.

SOTTO_VECTORISED void sgd_chunk(const SgdFactors& factors, float stddev, const float* normals, const float* sum,
                                float* momentum, float* parameter, int64_t count) {
  const SgdFactors f = factors;
  if (momentum == nullptr) {
    float none = 0;
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) sgd_step<false>(f, sum[i] + stddev * normals[i], none, parameter[i]);
    return;
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) sgd_step<true>(f, sum[i] + stddev * normals[i], momentum[i], parameter[i]);
}

SOTTO_VECTORISED void adam_chunk(const AdamFactors& factors, float stddev, const float* normals, const float* sum,
                                 float* first_moment, float* second_moment, float* parameter, int64_t count) {
  const AdamFactors f = factors;
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i)
    adam_step(f, sum[i] + stddev * normals[i], first_moment[i], second_moment[i], parameter[i]);
}

// Torch accepts any number here and trains on; a value that cannot be meant is refused.
void require_in(bool ok, const char* name, const char* range, double value) {
  require(ok, name, " must be ", range, ", got ", value);
}

}  // namespace

float scale_of(double divisor) {
  const float scale = static_cast<float>(1 / divisor);
  require(divisor > 0 && scale > 0 && std::isfinite(scale),
          "divisor must be positive and its inverse a finite float32, got ", divisor);
  return scale;
}

void require_common(double learning_rate, double weight_decay, int64_t sum, int64_t parameter) {
  require_in(learning_rate >= 0 && std::isfinite(learning_rate), "learning_rate", "finite and not negative",
             learning_rate);
  require_in(weight_decay >= 0 && std::isfinite(weight_decay), "weight_decay", "finite and not negative", weight_decay);
  require(sum == parameter, "a sum of ", sum, " entries for a parameter of ", parameter);
}

void require_adam(const AdamSettings& settings, int64_t first_moment, int64_t second_moment, int64_t parameter) {
  require_in(settings.beta1 >= 0 && settings.beta1 < 1, "beta1", "in [0, 1)", settings.beta1);
  require_in(settings.beta2 >= 0 && settings.beta2 < 1, "beta2", "in [0, 1)", settings.beta2);
  require_in(settings.epsilon >= 0 && std::isfinite(settings.epsilon), "epsilon", "finite and not negative",
             settings.epsilon);
  require(settings.step >= 1, "Adam counts its steps from 1, got step ", settings.step);
  require(first_moment == parameter && second_moment == parameter, "moments have ", first_moment, " and ",
          second_moment, " entries for a parameter of ", parameter);
}

namespace {

SgdFactors sgd_factors(double divisor, const SgdSettings& settings, int64_t sum, int64_t momentum, int64_t parameter) {
  require_common(settings.learning_rate, settings.weight_decay, sum, parameter);
  require_in(settings.momentum >= 0 && settings.momentum < 1, "momentum", "in [0, 1)", settings.momentum);
  require(momentum == parameter || (settings.momentum == 0 && momentum == 0), "momentum has ", momentum,
          " entries for a parameter of ", parameter);
  return {scale_of(divisor), static_cast<float>(settings.learning_rate), static_cast<float>(settings.momentum),
          static_cast<float>(settings.weight_decay)};
}

void sgd(const Exec& exec, const NoisePlan* noise, const SgdFactors& factors, const float* sum, float* momentum,
         VectorView<float> parameter) {
  with_noise_or_none(exec, noise, parameter.size,
                     [&](int64_t begin, int64_t count, float stddev, const float* normals) {
                       float* velocity = momentum == nullptr ? nullptr : momentum + begin;
                       sgd_chunk(factors, stddev, normals, sum + begin, velocity, parameter.data + begin, count);
                     });
}

AdamFactors adam_factors(double divisor, const AdamSettings& settings, int64_t sum, int64_t first_moment,
                         int64_t second_moment, int64_t parameter) {
  require_common(settings.learning_rate, settings.weight_decay, sum, parameter);
  require_adam(settings, first_moment, second_moment, parameter);
  const double step = static_cast<double>(settings.step);
  const double decay = settings.learning_rate * settings.weight_decay;
  AdamFactors factors;
  factors.scale = scale_of(divisor);
  factors.weight_decay = settings.decoupled ? 0.0f : static_cast<float>(settings.weight_decay);
  factors.shrink = settings.decoupled ? static_cast<float>(1 - decay) : 1.0f;
  factors.new_first = static_cast<float>(1 - settings.beta1);
  factors.keep_second = static_cast<float>(settings.beta2);
  factors.new_second = static_cast<float>(1 - settings.beta2);
  factors.step_size = static_cast<float>(settings.learning_rate / (1 - std::pow(settings.beta1, step)));
  factors.second_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(settings.beta2, step)));
  factors.epsilon = static_cast<float>(settings.epsilon);
  return factors;
}

void adam(const Exec& exec, const NoisePlan* noise, const AdamFactors& factors, const float* sum, float* first_moment,
          float* second_moment, VectorView<float> parameter) {
  with_noise_or_none(exec, noise, parameter.size,
                     [&](int64_t begin, int64_t count, float stddev, const float* normals) {
                       adam_chunk(factors, stddev, normals, sum + begin, first_moment + begin, second_moment + begin,
                                  parameter.data + begin, count);
                     });
}

}  // namespace

PlannedSgd plan_sgd(const StreamKey& stream, double noise_stddev, double divisor, const SgdSettings& settings,
                    VectorView<const float> sum, VectorView<float> momentum, VectorView<float> parameter,
                    int64_t first) {
  return {plan_noise(stream, noise_stddev, first, parameter.size),
          sgd_factors(divisor, settings, sum.size, momentum.size, parameter.size), sum.data,
          settings.momentum == 0 ? nullptr : momentum.data, parameter};
}

PlannedAdam plan_adam(const StreamKey& stream, double noise_stddev, double divisor, const AdamSettings& settings,
                      VectorView<const float> sum, VectorView<float> first_moment, VectorView<float> second_moment,
                      VectorView<float> parameter, int64_t first) {
  return {plan_noise(stream, noise_stddev, first, parameter.size),
          adam_factors(divisor, settings, sum.size, first_moment.size, second_moment.size, parameter.size),
          sum.data,
          first_moment.data,
          second_moment.data,
          parameter};
}

UpdateLaunch launch_of(const PlannedSgd& planned) {
  return {planned.parameter.size, planned.noise.stream.generator, planned.momentum != nullptr};
}

UpdateLaunch launch_of(const PlannedAdam& planned) {
  return {planned.parameter.size, planned.noise.stream.generator, true};
}

void require_launch(const UpdateLaunch& launch, const UpdateLaunch& planned) {
  require(launch == planned, "an update of ", planned.size, " entries was recorded for ", launch.size,
          " or another generator");
}

void apply(const Exec& exec, const UpdateLaunch& launch, const PlannedSgd* planned) {
  if (exec.on_cuda()) return apply_cuda(exec, launch, planned);
  require_launch(launch, launch_of(*planned));
  sgd(exec, &planned->noise, planned->factors, planned->sum, planned->momentum, planned->parameter);
}

void apply(const Exec& exec, const UpdateLaunch& launch, const PlannedAdam* planned) {
  if (exec.on_cuda()) return apply_cuda(exec, launch, planned);
  require_launch(launch, launch_of(*planned));
  adam(exec, &planned->noise, planned->factors, planned->sum, planned->first_moment, planned->second_moment,
       planned->parameter);
}

void noisy_sgd(const Exec& exec, const StreamKey& stream, double noise_stddev, double divisor,
               const SgdSettings& settings, VectorView<const float> sum, VectorView<float> momentum,
               VectorView<float> parameter, int64_t first) {
  const PlannedSgd p = plan_sgd(stream, noise_stddev, divisor, settings, sum, momentum, parameter, first);
  if (exec.on_cuda()) return sgd_cuda(exec, &p.noise, p.factors, p.sum, p.momentum, p.parameter);
  sgd(exec, &p.noise, p.factors, p.sum, p.momentum, p.parameter);
}

void noisy_adam(const Exec& exec, const StreamKey& stream, double noise_stddev, double divisor,
                const AdamSettings& settings, VectorView<const float> sum, VectorView<float> first_moment,
                VectorView<float> second_moment, VectorView<float> parameter, int64_t first) {
  const PlannedAdam p =
      plan_adam(stream, noise_stddev, divisor, settings, sum, first_moment, second_moment, parameter, first);
  if (exec.on_cuda()) return adam_cuda(exec, &p.noise, p.factors, p.sum, p.first_moment, p.second_moment, p.parameter);
  adam(exec, &p.noise, p.factors, p.sum, p.first_moment, p.second_moment, p.parameter);
}

void plain_sgd(const Exec& exec, double divisor, const SgdSettings& settings, VectorView<const float> sum,
               VectorView<float> momentum, VectorView<float> parameter) {
  const SgdFactors factors = sgd_factors(divisor, settings, sum.size, momentum.size, parameter.size);
  float* const velocity = settings.momentum == 0 ? nullptr : momentum.data;
  if (exec.on_cuda()) return sgd_cuda(exec, nullptr, factors, sum.data, velocity, parameter);
  sgd(exec, nullptr, factors, sum.data, velocity, parameter);
}

void plain_adam(const Exec& exec, double divisor, const AdamSettings& settings, VectorView<const float> sum,
                VectorView<float> first_moment, VectorView<float> second_moment, VectorView<float> parameter) {
  const AdamFactors factors =
      adam_factors(divisor, settings, sum.size, first_moment.size, second_moment.size, parameter.size);
  if (exec.on_cuda())
    return adam_cuda(exec, nullptr, factors, sum.data, first_moment.data, second_moment.data, parameter);
  adam(exec, nullptr, factors, sum.data, first_moment.data, second_moment.data, parameter);
}

}  // namespace sotto::kernels

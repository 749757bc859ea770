#include <cmath>

#include "base/error.h"
#include "kernels/double_sum.h"
#include "kernels/update/chunks.h"
#include "kernels/update/planned.h"

namespace sotto::kernels {
namespace {

// The moments of a chunk; its squares of w and r, added in the order of its entries.
struct TakeMoments {
  template <class V>
  static SOTTO_INLINE void run(const LambFactors& factors, float stddev, const float* normals, const float* sum,
                               float* first_moment, float* second_moment, const float* parameter, int64_t count,
                               double* squares) {
    const LambFactors f = factors;
    float directions[kChunk];
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i)
      directions[i] = lamb_moments(f, sum[i] + stddev * normals[i], first_moment[i], second_moment[i], parameter[i]);
    squares[0] = square_sum<V>(parameter, count);
    squares[1] = square_sum<V>(directions, count);
  }
};

SOTTO_VECTORISED void apply_chunk(const LambFactors& factors, float rate, const float* first_moment,
                                  const float* second_moment, float* parameter, int64_t count) {
  const LambFactors f = factors;
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i)
    parameter[i] = parameter[i] - rate * lamb_direction(f, first_moment[i], second_moment[i], parameter[i]);
}

LambFactors lamb_factors(double divisor, const AdamSettings& settings, int64_t sum, int64_t first_moment,
                         int64_t second_moment, int64_t parameter, int64_t workspace) {
  require_common(settings.learning_rate, settings.weight_decay, sum, parameter);
  require_adam(settings, first_moment, second_moment, parameter);
  require(workspace >= lamb_workspace(parameter), "a workspace of ", workspace, " doubles, needed are ",
          lamb_workspace(parameter));
  const double step = static_cast<double>(settings.step);
  return {.scale = scale_of(divisor),
          .learning_rate = static_cast<float>(settings.learning_rate),
          .weight_decay = static_cast<float>(settings.weight_decay),
          .new_first = static_cast<float>(1 - settings.beta1),
          .keep_second = static_cast<float>(settings.beta2),
          .new_second = static_cast<float>(1 - settings.beta2),
          .first_correction = static_cast<float>(1 / (1 - std::pow(settings.beta1, step))),
          .second_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(settings.beta2, step))),
          .epsilon = static_cast<float>(settings.epsilon)};
}

// `noise` in place of the plan's own: null where there is none.
void lamb(const Exec& exec, const NoisePlan* noise, const PlannedLamb& p) {
  const auto moments = [&](int64_t begin, int64_t count, float stddev, const float* normals) {
    run_widest<TakeMoments>(p.factors, stddev, normals, p.sum + begin, p.first_moment + begin, p.second_moment + begin,
                            p.parameter.data + begin, count, p.workspace.data + begin / kChunk * 2);
  };
  with_noise_or_none(exec, noise, p.parameter.size, moments);
  double squares[2] = {};
  for (int64_t chunk = 0; chunk * kChunk < p.parameter.size; ++chunk)
    for (int k = 0; k < 2; ++k) squares[k] += p.workspace.data[2 * chunk + k];
  const float rate = lamb_rate(p.factors, squares[0], squares[1]);
  with_noise_or_none(exec, nullptr, p.parameter.size, [&](int64_t begin, int64_t count, float, const float*) {
    apply_chunk(p.factors, rate, p.first_moment + begin, p.second_moment + begin, p.parameter.data + begin, count);
  });
}

}  // namespace

int64_t lamb_workspace(int64_t size) {
  return 2 * ((size + kChunk - 1) / kChunk) + 1;  // two squares a chunk, and on CUDA the rate
}

PlannedLamb plan_lamb(const StreamKey& stream, double noise_stddev, double divisor, const AdamSettings& settings,
                      VectorView<const float> sum, VectorView<float> first_moment, VectorView<float> second_moment,
                      VectorView<float> parameter, VectorView<double> workspace, int64_t first) {
  return {
      plan_noise(stream, noise_stddev, first, parameter.size),
      lamb_factors(divisor, settings, sum.size, first_moment.size, second_moment.size, parameter.size, workspace.size),
      sum.data,
      first_moment.data,
      second_moment.data,
      parameter,
      workspace};
}

UpdateLaunch launch_of(const PlannedLamb& planned) {
  return {planned.parameter.size, planned.noise.stream.generator, true};
}

void apply(const Exec& exec, const UpdateLaunch& launch, const PlannedLamb* planned) {
  if (exec.on_cuda()) return apply_cuda(exec, launch, planned);
  require_launch(launch, launch_of(*planned));
  lamb(exec, &planned->noise, *planned);
}

void noisy_lamb(const Exec& exec, const StreamKey& stream, double noise_stddev, double divisor,
                const AdamSettings& settings, VectorView<const float> sum, VectorView<float> first_moment,
                VectorView<float> second_moment, VectorView<float> parameter, VectorView<double> workspace,
                int64_t first) {
  const PlannedLamb p =
      plan_lamb(stream, noise_stddev, divisor, settings, sum, first_moment, second_moment, parameter, workspace, first);
  if (exec.on_cuda()) return lamb_cuda(exec, &p.noise, p);
  lamb(exec, &p.noise, p);
}

void plain_lamb(const Exec& exec, double divisor, const AdamSettings& settings, VectorView<const float> sum,
                VectorView<float> first_moment, VectorView<float> second_moment, VectorView<float> parameter,
                VectorView<double> workspace) {
  const PlannedLamb p = {
      {},
      lamb_factors(divisor, settings, sum.size, first_moment.size, second_moment.size, parameter.size, workspace.size),
      sum.data,
      first_moment.data,
      second_moment.data,
      parameter,
      workspace};
  if (exec.on_cuda()) return lamb_cuda(exec, nullptr, p);
  lamb(exec, nullptr, p);
}

}  // namespace sotto::kernels

#pragma once
#include "kernels/noise/noise_impl.h"
#include "kernels/update/update_impl.h"

namespace sotto::kernels {

// A noisy update whose every argument lies in memory. What is recorded once and started again in later steps takes its
// arguments from there when it runs: the step's own stream, learning rate and sum, never those it was recorded with.
struct PlannedSgd {
  NoisePlan noise;
  SgdFactors factors;
  const float* sum;
  float* momentum;  // null: μ = 0
  VectorView<float> parameter;
};
struct PlannedAdam {
  NoisePlan noise;
  AdamFactors factors;
  const float* sum;
  float *first_moment, *second_moment;
  VectorView<float> parameter;
};
struct PlannedLamb {
  NoisePlan noise;
  LambFactors factors;
  const float* sum;
  float *first_moment, *second_moment;
  VectorView<float> parameter;
  VectorView<double> workspace;
};

// The plans of noisy_sgd, noisy_adam and noisy_lamb, whose checks they make.
PlannedSgd plan_sgd(const StreamKey& stream, double noise_stddev, double divisor, const SgdSettings& settings,
                    VectorView<const float> sum, VectorView<float> momentum, VectorView<float> parameter,
                    int64_t first = 0);
PlannedAdam plan_adam(const StreamKey& stream, double noise_stddev, double divisor, const AdamSettings& settings,
                      VectorView<const float> sum, VectorView<float> first_moment, VectorView<float> second_moment,
                      VectorView<float> parameter, int64_t first = 0);
PlannedLamb plan_lamb(const StreamKey& stream, double noise_stddev, double divisor, const AdamSettings& settings,
                      VectorView<const float> sum, VectorView<float> first_moment, VectorView<float> second_moment,
                      VectorView<float> parameter, VectorView<double> workspace, int64_t first = 0);

// What must be known to start an update before its plan is: it is the same in every step.
struct UpdateLaunch {
  int64_t size;
  Generator generator;
  bool has_momentum;
  bool operator==(const UpdateLaunch&) const = default;
};
UpdateLaunch launch_of(const PlannedSgd& planned);
UpdateLaunch launch_of(const PlannedAdam& planned);
UpdateLaunch launch_of(const PlannedLamb& planned);

// Makes the update planned at `planned`, which lies where the tensors do and is read when the work runs. The same bits
// as noisy_sgd, noisy_adam and noisy_lamb.
void apply(const Exec& exec, const UpdateLaunch& launch, const PlannedSgd* planned);
void apply(const Exec& exec, const UpdateLaunch& launch, const PlannedAdam* planned);
void apply(const Exec& exec, const UpdateLaunch& launch, const PlannedLamb* planned);

// Throws internal where the plan at hand is of another kind or size than was recorded.
void require_launch(const UpdateLaunch& launch, const UpdateLaunch& planned);

void apply_cuda(const Exec& exec, const UpdateLaunch& launch, const PlannedSgd* planned);
void apply_cuda(const Exec& exec, const UpdateLaunch& launch, const PlannedAdam* planned);
void apply_cuda(const Exec& exec, const UpdateLaunch& launch, const PlannedLamb* planned);
// `noise` in place of the plan's own: null where there is none.
void lamb_cuda(const Exec& exec, const NoisePlan* noise, const PlannedLamb& p);

}  // namespace sotto::kernels

#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine/private_step.h"
#include "engine/update_graph.h"

namespace sotto {

struct OptimizerConfig {
  std::string kind = "sgd";  // sgd, adam, adamw, lamb
  double learning_rate = 0;
  double momentum = 0;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  std::string schedule = "constant";  // constant, cosine: lr · (1 + cos(π step / steps)) / 2
};

// torch.optim's SGD, Adam and AdamW, and LAMB, fused with the noise. Accepts a PrivateGradient and nothing else; every
// update it makes is therefore a function of charged events.
class Optimizer {
 public:
  // `divisor` is the public expected batch size, `steps` the planned number of steps (for the schedule).
  Optimizer(const Exec& exec, const Parameters& parameters, const OptimizerConfig& config, double divisor,
            int64_t steps);

  // Noises and applies one gradient. `gradient` is consumed.
  void step(PrivateGradient&& gradient);
  double learning_rate(uint64_t step) const;

  // Buffers by name ("momentum.0", "first.0", "second.0", …) for checkpoints. They are functions of noised gradients.
  std::map<std::string, at::Tensor> state() const;
  void load_state(const std::map<std::string, at::Tensor>& state);

 private:
  // Parameter k's noise: of its step and its own.
  static StreamKey noise_stream(const PrivateGradient& opened, size_t k);
  kernels::AdamSettings adam_settings(const PrivateGradient& opened) const;
  std::vector<kernels::PlannedSgd> sgd_plans(const PrivateGradient& opened) const;
  std::vector<kernels::PlannedAdam> adam_plans(const PrivateGradient& opened) const;
  std::vector<kernels::PlannedLamb> lamb_plans(const PrivateGradient& opened) const;
  // Of sums on a lattice, whose noise is added to them and not drawn here.
  void update_one_by_one(const PrivateGradient& opened);

  Exec exec_;
  const Parameters& parameters_;
  OptimizerConfig config_;
  double divisor_;
  int64_t steps_;
  std::vector<at::Tensor> first_, second_;  // momentum or first moment; second moment
  std::vector<at::Tensor> workspaces_;      // LAMB's
  UpdateGraph updates_;
};

// The learning rate of a step under a config's schedule.
double scheduled_learning_rate(const OptimizerConfig& config, uint64_t step, int64_t steps);

}  // namespace sotto

#include "engine/baseline.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "engine/loss.h"
#include "engine/tape/parameters.h"

namespace sotto {

Model train_baseline(const ModelSpec& spec, const Dataset& train, const BaselineConfig& config, const RunKey& key) {
  Model model = Model::make(spec, train.spec, key);
  model.train(true);
  std::vector<at::Tensor> parameters, first, second;
  const Parameters owned(model.named_parameters());
  for (int64_t k = 0; k < owned.size(); ++k) {
    parameters.push_back(owned.tensor(k));
    first.push_back(at::zeros_like(owned.tensor(k)).detach());
    second.push_back(first.back().clone());
  }
  int64_t step = 0;
  for (int64_t epoch = 0; epoch < config.epochs; ++epoch) {
    const at::Tensor order = at::randperm(train.size(), at::kLong);
    for (int64_t at_row = 0; at_row < train.size(); at_row += config.batch) {
      const at::Tensor rows = order.slice(0, at_row, std::min(at_row + config.batch, train.size()));
      const at::Tensor loss =
          per_sample_loss(model.forward(train.inputs.index_select(0, rows)), train.labels.index_select(0, rows)).mean();
      const auto gradients = torch::autograd::grad({loss}, {parameters.begin(), parameters.end()});
      const at::NoGradGuard no_grad;
      ++step;
      const double correction1 = 1 - std::pow(0.9, step), correction2 = 1 - std::pow(0.999, step);
      for (size_t k = 0; k < parameters.size(); ++k) {
        first[k].mul_(0.9).add_(gradients[k], 0.1);
        second[k].mul_(0.999).addcmul_(gradients[k], gradients[k], 0.001);
        parameters[k].addcdiv_(first[k] / correction1, (second[k] / correction2).sqrt_().add_(1e-8),
                               -config.learning_rate);
      }
    }
  }
  return model;
}

}  // namespace sotto

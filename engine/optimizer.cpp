#include "engine/optimizer.h"

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "engine/lattice_sum.h"
#include "kernels/update/update.h"

namespace sotto {
namespace {

VectorView<float> flat(const at::Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), tensor.numel()};
}

VectorView<const float> constant(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), tensor.numel()};
}

VectorView<double> doubles(const at::Tensor& tensor) {
  return {tensor.mutable_data_ptr<double>(), tensor.numel()};
}

constexpr VectorView<float> kNone = {nullptr, 0};

}  // namespace

double scheduled_learning_rate(const OptimizerConfig& config, uint64_t step, int64_t steps) {
  if (config.schedule == "constant") return config.learning_rate;
  const double progress = static_cast<double>(step) / static_cast<double>(steps);
  return config.learning_rate * (1 + std::cos(std::numbers::pi * std::min(progress, 1.0))) / 2;
}

Optimizer::Optimizer(const Exec& exec, const Parameters& parameters, const OptimizerConfig& config, double divisor,
                     int64_t steps)
    : exec_(exec), parameters_(parameters), config_(config), divisor_(divisor), steps_(steps) {
  const auto check = [](bool ok, const std::string& message) {
    if (!ok) throw Error(ErrorKind::configuration, message);
  };
  check(config.kind == "sgd" || config.kind == "adam" || config.kind == "adamw" || config.kind == "lamb",
        cat("train.optimizer must be sgd, adam, adamw or lamb, got ", config.kind));
  check(config.schedule == "constant" || config.schedule == "cosine",
        cat("train.schedule must be constant or cosine, got ", config.schedule));
  check(config.learning_rate > 0 && std::isfinite(config.learning_rate),
        cat("train.learning_rate must be positive, got ", config.learning_rate));
  check(config.momentum >= 0 && config.momentum < 1, cat("train.momentum must be in [0, 1), got ", config.momentum));
  for (const auto& [name, beta] : {std::pair("train.beta1", config.beta1), std::pair("train.beta2", config.beta2)})
    check(beta >= 0 && beta < 1, cat(name, " must be in [0, 1), got ", beta));
  check(config.epsilon > 0 && std::isfinite(config.epsilon),
        cat("train.adam_epsilon must be positive, got ", config.epsilon));
  check(config.weight_decay >= 0 && std::isfinite(config.weight_decay),
        cat("train.weight_decay cannot be negative or infinite, got ", config.weight_decay));
  check(divisor > 0, cat("the expected batch size must be positive, got ", divisor));
  const bool adam = config.kind != "sgd";
  for (int64_t k = 0; k < parameters.size(); ++k) {
    const at::Tensor zeros = at::zeros_like(parameters.tensor(k)).detach();
    if (adam || config.momentum > 0) first_.push_back(zeros.clone());
    if (adam) second_.push_back(zeros);
    if (config.kind == "lamb")
      workspaces_.push_back(at::empty({kernels::lamb_workspace(zeros.numel())}, zeros.options().dtype(at::kDouble)));
  }
}

double Optimizer::learning_rate(uint64_t step) const {
  return scheduled_learning_rate(config_, step, steps_);
}

void Optimizer::step(PrivateGradient&& gradient) {
  const PrivateGradient opened = std::move(gradient);
  require(static_cast<int64_t>(opened.sum_.sums_.size()) == parameters_.size(),
          "a private gradient can be used once, by the optimizer of its own parameters");
  if (opened.sum_.on_lattice()) return update_one_by_one(opened);
  const at::Device device = parameters_.tensor(0).device();
  if (config_.kind == "sgd") return updates_.run(exec_, device, sgd_plans(opened));
  if (config_.kind == "lamb") return updates_.run(exec_, device, lamb_plans(opened));
  updates_.run(exec_, device, adam_plans(opened));
}

StreamKey Optimizer::noise_stream(const PrivateGradient& opened, size_t k) {
  return opened.key_.stream(Purpose::noise, opened.step_, static_cast<uint32_t>(k), opened.generator_);
}

kernels::AdamSettings Optimizer::adam_settings(const PrivateGradient& opened) const {
  return {learning_rate(opened.step_),
          config_.beta1,
          config_.beta2,
          config_.epsilon,
          config_.weight_decay,
          config_.kind == "adamw",
          static_cast<int64_t>(opened.step_) + 1};
}

std::vector<kernels::PlannedSgd> Optimizer::sgd_plans(const PrivateGradient& opened) const {
  const kernels::SgdSettings settings = {learning_rate(opened.step_), config_.momentum, config_.weight_decay};
  std::vector<kernels::PlannedSgd> plans;
  for (size_t k = 0; k < opened.sum_.sums_.size(); ++k)
    plans.push_back(kernels::plan_sgd(noise_stream(opened, k), opened.noise_stddev_, divisor_, settings,
                                      constant(opened.sum_.sums_[k]), first_.empty() ? kNone : flat(first_[k]),
                                      flat(parameters_.tensor(static_cast<int64_t>(k)))));
  return plans;
}

std::vector<kernels::PlannedAdam> Optimizer::adam_plans(const PrivateGradient& opened) const {
  std::vector<kernels::PlannedAdam> plans;
  for (size_t k = 0; k < opened.sum_.sums_.size(); ++k)
    plans.push_back(kernels::plan_adam(noise_stream(opened, k), opened.noise_stddev_, divisor_, adam_settings(opened),
                                       constant(opened.sum_.sums_[k]), flat(first_[k]), flat(second_[k]),
                                       flat(parameters_.tensor(static_cast<int64_t>(k)))));
  return plans;
}

std::vector<kernels::PlannedLamb> Optimizer::lamb_plans(const PrivateGradient& opened) const {
  std::vector<kernels::PlannedLamb> plans;
  for (size_t k = 0; k < opened.sum_.sums_.size(); ++k)
    plans.push_back(kernels::plan_lamb(noise_stream(opened, k), opened.noise_stddev_, divisor_, adam_settings(opened),
                                       constant(opened.sum_.sums_[k]), flat(first_[k]), flat(second_[k]),
                                       flat(parameters_.tensor(static_cast<int64_t>(k))), doubles(workspaces_[k])));
  return plans;
}

void Optimizer::update_one_by_one(const PrivateGradient& opened) {
  for (size_t k = 0; k < opened.sum_.sums_.size(); ++k) {
    const at::Tensor noised =
        noised_on_lattice(exec_, opened.key_.stream(Purpose::lattice_noise, opened.step_, static_cast<uint32_t>(k)),
                          opened.sum_.lattice(), opened.sum_.sums_[k]);
    const VectorView<const float> sum = constant(noised);
    const VectorView<float> parameter = flat(parameters_.tensor(static_cast<int64_t>(k)));
    if (config_.kind == "sgd") {
      const kernels::SgdSettings settings = {learning_rate(opened.step_), config_.momentum, config_.weight_decay};
      kernels::plain_sgd(exec_, divisor_, settings, sum, first_.empty() ? kNone : flat(first_[k]), parameter);
      continue;
    }
    const kernels::AdamSettings settings = adam_settings(opened);
    const VectorView<float> first = flat(first_[k]), second = flat(second_[k]);
    if (config_.kind == "lamb")
      kernels::plain_lamb(exec_, divisor_, settings, sum, first, second, parameter, doubles(workspaces_[k]));
    else
      kernels::plain_adam(exec_, divisor_, settings, sum, first, second, parameter);
  }
}

std::map<std::string, at::Tensor> Optimizer::state() const {
  std::map<std::string, at::Tensor> state;
  for (size_t k = 0; k < first_.size(); ++k) state[cat("first.", k)] = first_[k];
  for (size_t k = 0; k < second_.size(); ++k) state[cat("second.", k)] = second_[k];
  return state;
}

void Optimizer::load_state(const std::map<std::string, at::Tensor>& state) {
  const auto load = [&](const std::string& name, at::Tensor& into) {
    const auto hit = state.find(name);
    if (hit == state.end() || hit->second.sizes() != into.sizes())
      throw Error(ErrorKind::io, cat("the checkpoint has no optimizer buffer ", name, " of shape ", into.sizes()));
    into.copy_(hit->second);
  };
  for (size_t k = 0; k < first_.size(); ++k) load(cat("first.", k), first_[k]);
  for (size_t k = 0; k < second_.size(); ++k) load(cat("second.", k), second_[k]);
}

}  // namespace sotto

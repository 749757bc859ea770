#pragma once
#include <gtest/gtest.h>

#include <numeric>

#include "engine/optimizer.h"
#include "engine/private_step.h"

namespace sotto {

constexpr double kClipNorm = 0.5;

// Parts that no plan would make, for what a plan's own cannot show.
struct PlanPartsForTests {
  static Noise noise(double noise_multiplier, const RunKey& key) { return {noise_multiplier, 0, key}; }
  static const std::vector<at::Tensor>& sums(const ClippedSum& sum) { return sum.sums_; }
  static Clipping capped(const Clipping& clipping, int64_t batch_cap) {
    return {clipping.clip_norm(), clipping.microbatch(), batch_cap, clipping.rounding(), clipping.function(), false};
  }
};

// Plain gradients, one row a unit, as if a model had made them: what the private step does to them is then known.
struct Rows {
  std::vector<at::Tensor> by_parameter;  // [units, elements] each

  GradSamples of(const std::vector<int64_t>& units) const {
    GradSamples grads;
    grads.batch = static_cast<int64_t>(units.size());
    const at::Tensor index = at::tensor(at::ArrayRef<int64_t>(units), at::kLong);
    for (const at::Tensor& rows : by_parameter) {
      ParameterSamples samples;
      samples.stored.push_back(rows.index_select(0, index).contiguous());
      grads.parameters.push_back(std::move(samples));
    }
    grads.losses = at::ones({grads.batch}, at::kDouble);
    return grads;
  }
};

inline Parameters two_parameters() {
  return Parameters({{"w", at::zeros({30, 7}).set_requires_grad(true)}, {"b", at::zeros({11}).set_requires_grad(true)}});
}

inline PrivacyConfig private_config() {
  PrivacyConfig config;
  config.unit_of_privacy = "patient";
  config.epsilon = 3;
  config.delta = 1e-5;
  config.noise_multiplier = 1.5;
  config.clip_norm = kClipNorm;
  config.sample_rate = 0.25;
  config.public_size = 400;
  config.steps = 100;
  return config;
}

// SGD with learning rate 1 and divisor 1, from 0: the parameters become minus the noised sum.
inline std::vector<at::Tensor> opened(PrivateGradient&& gradient, const Parameters& parameters, double divisor = 1) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> values;
  for (int64_t k = 0; k < parameters.size(); ++k) parameters.tensor(k).zero_();
  OptimizerConfig config;
  config.learning_rate = 1;
  Optimizer(Exec::cpu(2), parameters, config, divisor, 1).step(std::move(gradient));
  for (int64_t k = 0; k < parameters.size(); ++k) values.push_back(parameters.tensor(k).neg().to(at::kDouble));
  return values;
}

inline double distance(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double square = 0;
  for (size_t k = 0; k < a.size(); ++k) square += (a[k] - b[k]).square().sum().item<double>();
  return std::sqrt(square);
}

inline Rows random_rows(int64_t units, double scale) {
  return {{at::randn({units, 210}).mul_(scale), at::randn({units, 11}).mul_(scale)}};
}

inline std::vector<int64_t> first_units(int64_t count) {
  std::vector<int64_t> units(static_cast<size_t>(count));
  std::iota(units.begin(), units.end(), 0);
  return units;
}

// 300 units with norms 0.01, 0.02, … 3, every one in every batch: the quantiles are known.
inline Rows rows_of_known_norms() {
  const at::Tensor norms = at::arange(1, 301).to(at::kFloat) / 100;
  return {{at::zeros({300, 210}).index_put_({at::indexing::Slice(), 3}, norms), at::zeros({300, 11})}};
}
inline PrivacyConfig following(double quantile, PrivacyConfig config) {
  config.sample_rate = 1;
  config.public_size = 300;
  config.clipping.quantile = quantile;
  config.clipping.learning_rate = 0.3;
  return config;
}

}  // namespace sotto

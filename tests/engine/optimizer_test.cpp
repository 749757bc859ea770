#include "engine/optimizer.h"

#include <gtest/gtest.h>

#include <numbers>

#include "base/error.h"
#include "tests/engine/private_fixture.h"

namespace sotto {
namespace {

const RunKey kKey = RunKey::from_seed(9);

PrivateGradient gradient_of(const Parameters& parameters, uint64_t step, double noise_multiplier) {
  const PrivacyPlan plan(private_config(), 8, kKey, {.parameter_elements = parameters.elements()});
  at::manual_seed(step + 100);
  Rows rows;
  for (int64_t k = 0; k < parameters.size(); ++k) rows.by_parameter.push_back(at::randn({20, parameters.tensor(k).numel()}));
  StepTrace trace;
  ClippedSum sum = clip(Exec::cpu(1), parameters, plan.clipping(), {{0, 3, 4, 9, 17}}, [&](const auto& u) { return rows.of(u); }, trace);
  return add_noise(std::move(sum), PlanPartsForTests::noise(noise_multiplier, kKey), step);
}

std::vector<OptimizerConfig> configs() {
  return {{.kind = "sgd", .learning_rate = 0.3},
          {.kind = "sgd", .learning_rate = 0.3, .momentum = 0.9, .weight_decay = 0.01, .schedule = "cosine"},
          {.kind = "adam", .learning_rate = 0.05, .beta1 = 0.8, .beta2 = 0.97, .weight_decay = 0.02},
          {.kind = "adamw", .learning_rate = 0.05, .weight_decay = 0.1, .schedule = "cosine"},
          {.kind = "lamb", .learning_rate = 0.05, .weight_decay = 0.02}};
}

std::vector<at::Tensor> values(const Parameters& parameters) {
  std::vector<at::Tensor> copies;
  for (int64_t k = 0; k < parameters.size(); ++k) copies.push_back(parameters.tensor(k).detach().to(at::kDouble, false, true));
  return copies;
}

TEST(Optimizer, FollowsTheTextbookInDouble) {
  constexpr int64_t steps = 6;
  constexpr double divisor = 12.5;
  for (const OptimizerConfig& config : configs()) {
    SCOPED_TRACE(config.kind);
    const Parameters parameters = two_parameters();
    Optimizer optimizer(Exec::cpu(2), parameters, config, divisor, steps);
    std::vector<at::Tensor> w = values(parameters), m, v;
    for (const at::Tensor& value : w) m.push_back(at::zeros_like(value)), v.push_back(at::zeros_like(value));
    for (uint64_t step = 0; step < steps; ++step) {
      Parameters other = two_parameters();
      const auto sum = opened(gradient_of(parameters, step, 1.5), other);
      optimizer.step(gradient_of(parameters, step, 1.5));
      const double rate = config.schedule == "constant" ? config.learning_rate
                                                        : config.learning_rate * (1 + std::cos(std::numbers::pi * double(step) / steps)) / 2;
      EXPECT_DOUBLE_EQ(optimizer.learning_rate(step), rate);
      for (size_t k = 0; k < w.size(); ++k) {
        at::Tensor g = sum[k] / divisor;
        if (config.kind == "sgd" || config.kind == "adam") g = g + config.weight_decay * w[k];
        if (config.kind == "sgd") {
          m[k] = config.momentum * m[k] + g;
          w[k] = w[k] - rate * m[k];
          continue;
        }
        if (config.kind == "adamw") w[k] = w[k] * (1 - rate * config.weight_decay);
        m[k] = config.beta1 * m[k] + (1 - config.beta1) * g;
        v[k] = config.beta2 * v[k] + (1 - config.beta2) * g * g;
        const double n = double(step) + 1;
        at::Tensor direction = (m[k] / (1 - std::pow(config.beta1, n))) /
                               ((v[k] / (1 - std::pow(config.beta2, n))).sqrt() + config.epsilon);
        double length = 1;
        if (config.kind == "lamb") {
          direction = direction + config.weight_decay * w[k];
          const double of_w = w[k].norm().item<double>(), of_r = direction.norm().item<double>();
          length = of_w > 0 && of_r > 0 ? of_w / of_r : 1;
        }
        w[k] = w[k] - rate * length * direction;
      }
      // Some float32 roundings a step; Adam divides by the root of a small moment.
      EXPECT_LE(distance(values(parameters), w), 1e-5 * (1 + distance(w, values(two_parameters()))));
    }
  }
}

TEST(Optimizer, GoesOnBitIdenticallyFromItsState) {
  for (const OptimizerConfig& config : configs()) {
    SCOPED_TRACE(config.kind);
    const Parameters straight = two_parameters(), broken = two_parameters();
    Optimizer one(Exec::cpu(2), straight, config, 10, 8);
    auto two = std::make_unique<Optimizer>(Exec::cpu(1), broken, config, 10, 8);
    for (uint64_t step = 0; step < 8; ++step) {
      if (step == 3) {
        std::map<std::string, at::Tensor> saved;
        for (const auto& [name, tensor] : two->state()) saved[name] = tensor.clone();
        EXPECT_EQ(saved.size(), config.kind == "sgd" ? (config.momentum > 0 ? 2u : 0u) : 4u);
        two = std::make_unique<Optimizer>(Exec::cpu(1), broken, config, 10, 8);
        two->load_state(saved);
        if (!saved.empty()) {
          saved.erase(saved.begin());
          EXPECT_THROW(two->load_state(saved), Error) << "a buffer is missing";
        }
      }
      one.step(gradient_of(straight, step, 1.5));
      two->step(gradient_of(broken, step, 1.5));
    }
    EXPECT_EQ(distance(values(straight), values(broken)), 0);
    EXPECT_GT(distance(values(straight), values(two_parameters())), 0) << "nothing was learned at all";
  }
}

TEST(Optimizer, UsesAGradientOnceAndForItsOwnParametersOnly) {
  const Parameters parameters = two_parameters();
  Optimizer optimizer(Exec::cpu(1), parameters, {.learning_rate = 1}, 1, 1);
  PrivateGradient gradient = gradient_of(parameters, 0, 1.5);
  optimizer.step(std::move(gradient));
  const auto after = values(parameters);
  EXPECT_THROW(optimizer.step(std::move(gradient)), Error);
  EXPECT_EQ(distance(values(parameters), after), 0);
  const Parameters one({{"w", at::zeros({3}).set_requires_grad(true)}});
  EXPECT_THROW(optimizer.step(gradient_of(one, 0, 1.5)), Error);
}

TEST(Optimizer, RefusesSettingsOutOfRangeByName) {
  const Parameters parameters = two_parameters();
  const auto message = [&](const OptimizerConfig& config, double divisor = 1) -> std::string {
    try {
      Optimizer optimizer(Exec::cpu(1), parameters, config, divisor, 1);
      return "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::configuration);
      return error.what();
    }
  };
  EXPECT_EQ(message({.learning_rate = 1}), "accepted");
  EXPECT_NE(message({.kind = "rmsprop", .learning_rate = 1}).find("train.optimizer"), std::string::npos);
  EXPECT_NE(message({.learning_rate = 1, .schedule = "step"}).find("train.schedule"), std::string::npos);
  for (const double rate : {0.0, -1.0, double(NAN), double(INFINITY)})
    EXPECT_NE(message({.learning_rate = rate}).find("train.learning_rate"), std::string::npos) << rate;
  for (const double momentum : {-0.1, 1.0, double(NAN)})
    EXPECT_NE(message({.learning_rate = 1, .momentum = momentum}).find("train.momentum"), std::string::npos) << momentum;
  for (const double beta : {-0.1, 1.0, double(NAN)}) {
    EXPECT_NE(message({.kind = "adam", .learning_rate = 1, .beta1 = beta}).find("train.beta1"), std::string::npos) << beta;
    EXPECT_NE(message({.kind = "adam", .learning_rate = 1, .beta2 = beta}).find("train.beta2"), std::string::npos) << beta;
  }
  for (const double epsilon : {0.0, -1e-8, double(NAN)})
    EXPECT_NE(message({.kind = "adam", .learning_rate = 1, .epsilon = epsilon}).find("train.adam_epsilon"), std::string::npos) << epsilon;
  for (const double decay : {-0.1, double(NAN), double(INFINITY)})
    EXPECT_NE(message({.learning_rate = 1, .weight_decay = decay}).find("train.weight_decay"), std::string::npos) << decay;
  EXPECT_NE(message({.learning_rate = 1}, 0).find("batch size"), std::string::npos);
}

}  // namespace
}  // namespace sotto

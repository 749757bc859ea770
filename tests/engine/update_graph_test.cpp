#include "engine/update_graph.h"

#include "cuda/device.h"
#include "engine/site.h"
#include "kernels/update/update.h"
#include "tests/engine/private_fixture.h"

namespace sotto {
namespace {

constexpr uint64_t kSteps = 5;
constexpr double kDivisor = 100;
const RunKey kKey = RunKey::from_seed(11);

Parameters parameters_on(const at::Device& device) {
  const auto made = [&](at::IntArrayRef sizes) {
    return at::arange(c10::multiply_integers(sizes)).to(at::kFloat).view(sizes).to(device).set_requires_grad(true);
  };
  return Parameters({{"w", made({30, 7})}, {"b", made({11})}, {"c", made({5000})}});
}

at::Tensor host(const at::Tensor& tensor) {
  return tensor.detach().cpu();
}

// What a step must add to parameter k, from nothing but the step's number: an empty batch is noise alone.
void update_alone(uint64_t step, size_t k, double stddev, const OptimizerConfig& config,
                  std::vector<at::Tensor>& state) {
  const StreamKey stream = kKey.stream(Purpose::noise, step, static_cast<uint32_t>(k));
  const at::Tensor sum = at::zeros_like(state[0]);
  const auto view = [](at::Tensor& x) { return VectorView<float>{x.mutable_data_ptr<float>(), x.numel()}; };
  const VectorView<const float> zeros = {sum.const_data_ptr<float>(), sum.numel()};
  const double rate = scheduled_learning_rate(config, step, kSteps);
  if (config.kind == "sgd")
    return kernels::noisy_sgd(Exec::cpu(1), stream, stddev, kDivisor, {rate, config.momentum, config.weight_decay},
                              zeros, view(state[1]), view(state[0]));
  const kernels::AdamSettings settings = {
      rate, config.beta1, config.beta2, config.epsilon, config.weight_decay, config.kind == "adamw",
      static_cast<int64_t>(step) + 1};
  if (config.kind != "lamb")
    return kernels::noisy_adam(Exec::cpu(1), stream, stddev, kDivisor, settings, zeros, view(state[1]), view(state[2]),
                               view(state[0]));
  std::vector<double> workspace(static_cast<size_t>(kernels::lamb_workspace(sum.numel())));
  kernels::noisy_lamb(Exec::cpu(1), stream, stddev, kDivisor, settings, zeros, view(state[1]), view(state[2]),
                      view(state[0]), {workspace.data(), std::ssize(workspace)});
}

// The bits of a run's updates, which are recorded in the first step and repeated in the others.
void expect_each_steps_own_noise(const Site& site) {
  for (const OptimizerConfig& config :
       {OptimizerConfig{
            .kind = "sgd", .learning_rate = 0.3, .momentum = 0.9, .weight_decay = 0.01, .schedule = "cosine"},
        OptimizerConfig{.kind = "adamw", .learning_rate = 0.05, .weight_decay = 0.1, .schedule = "cosine"},
        OptimizerConfig{.kind = "lamb", .learning_rate = 0.05, .weight_decay = 0.1, .schedule = "cosine"}}) {
    const Parameters parameters = parameters_on(site.device);
    const PrivacyPlan plan(private_config(), 8, kKey, {.parameter_elements = parameters.elements()});
    PrivateStep step(
        site.exec, parameters, plan, 0, [](uint64_t) {}, [](const auto&) { return GradSamples{}; });
    Optimizer optimizer(site.exec, parameters, config, kDivisor, kSteps);
    const double stddev = plan.noise().noise_multiplier() * plan.clipping().l2_sensitivity();
    std::vector<std::vector<at::Tensor>> states;
    for (int64_t k = 0; k < parameters.size(); ++k) {
      const at::Tensor start = host(parameters.tensor(k)).clone();
      states.push_back({start, at::zeros_like(start), at::zeros_like(start)});
    }
    for (const uint64_t number : {0, 1, 2, 4}) {  // as after a lost step, too: the number decides, not the count
      optimizer.step(step.next(number));
      for (size_t k = 0; k < states.size(); ++k) {
        update_alone(number, k, stddev, config, states[k]);
        const at::Tensor got = host(parameters.tensor(static_cast<int64_t>(k)));
        // On CUDA LAMB's norms are summed in another order.
        ASSERT_TRUE(config.kind == "lamb" && site.device.is_cuda() ? got.allclose(states[k][0], 1e-5, 1e-6)
                                                                   : got.equal(states[k][0]))
            << config.kind << ", step " << number << ", parameter " << k;
      }
    }
  }
}

TEST(UpdateGraph, RepeatedUpdatesHaveTheNoiseAndTheRateOfTheirOwnStep) {
  expect_each_steps_own_noise(open_site(false, 2));
}

TEST(UpdateGraph, OnCudaRepeatedUpdatesAreTheCpusBits) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  expect_each_steps_own_noise(open_site(true, 1));
}

TEST(UpdateGraph, IsRecordedAnewForOtherSizes) {
  UpdateGraph graph;
  for (const int64_t size : {100, 100, 33, 5000}) {
    at::Tensor x = at::zeros({size}), expected = at::zeros({size});
    const at::Tensor sum = at::ones({size});
    const StreamKey stream = kKey.stream(Purpose::noise, static_cast<uint64_t>(size));
    const VectorView<const float> ones = {sum.const_data_ptr<float>(), size};
    const auto view = [&](at::Tensor& of) { return VectorView<float>{of.mutable_data_ptr<float>(), size}; };
    graph.run<kernels::PlannedSgd>(Exec::cpu(1), at::kCPU,
                                   {kernels::plan_sgd(stream, 1, 1, {0.1}, ones, {nullptr, 0}, view(x))});
    kernels::noisy_sgd(Exec::cpu(1), stream, 1, 1, {0.1}, ones, {nullptr, 0}, view(expected));
    EXPECT_TRUE(x.equal(expected)) << size;
  }
}

}  // namespace
}  // namespace sotto

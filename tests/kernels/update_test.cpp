#include "kernels/update/update.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "cuda/device_array.h"
#include "tests/kernels/noise_oracle.h"

namespace sotto::kernels {
namespace {

enum class Backend { cpu, cuda };

struct State {
  std::vector<float> parameter, first, second;  // SGD's momentum is `first`
};

State start(int64_t size) {
  State state{std::vector<float>(static_cast<size_t>(size)), {}, {}};
  for (int64_t i = 0; i < size; ++i) state.parameter[i] = static_cast<float>(std::sin(0.37 * double(i)));
  state.first.assign(state.parameter.size(), 0.0f);
  state.second.assign(state.parameter.size(), 0.0f);
  return state;
}

std::vector<float> sum_of_step(int64_t size, int64_t step) {
  std::vector<float> sum(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i) sum[i] = static_cast<float>(5 * std::cos(0.11 * double(i + 7 * step)));
  return sum;
}

// A stddev of 0 asks for the plain update.
struct Call {
  StreamKey stream;
  double stddev, divisor;
  int64_t first = 0;
};

void sgd_on(const Exec& exec, const Call& c, const SgdSettings& s, VectorView<const float> sum,
            VectorView<float> momentum, VectorView<float> parameter) {
  if (c.stddev == 0) return plain_sgd(exec, c.divisor, s, sum, momentum, parameter);
  noisy_sgd(exec, c.stream, c.stddev, c.divisor, s, sum, momentum, parameter, c.first);
}

void adam_on(const Exec& exec, const Call& c, const AdamSettings& s, VectorView<const float> sum,
             VectorView<float> first, VectorView<float> second, VectorView<float> parameter) {
  if (c.stddev == 0) return plain_adam(exec, c.divisor, s, sum, first, second, parameter);
  noisy_adam(exec, c.stream, c.stddev, c.divisor, s, sum, first, second, parameter, c.first);
}

class UpdateTest : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (GetParam() == Backend::cuda && !cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  }
  void sgd(const Call& call, const SgdSettings& settings, const std::vector<float>& sum, State& state) {
    const auto n = static_cast<int64_t>(sum.size());
    if (GetParam() == Backend::cpu)
      return sgd_on(Exec::cpu(2), call, settings, {sum.data(), n}, {state.first.data(), n},
                    {state.parameter.data(), n});
    DeviceArray<float> d_sum(sum), d_first(state.first), d_parameter(state.parameter);
    sgd_on(Exec::cuda(nullptr), call, settings, {d_sum.data(), n}, {d_first.data(), n}, {d_parameter.data(), n});
    state.first = d_first.to_host();
    state.parameter = d_parameter.to_host();
  }
  void adam(const Call& call, const AdamSettings& settings, const std::vector<float>& sum, State& state) {
    const auto n = static_cast<int64_t>(sum.size());
    if (GetParam() == Backend::cpu)
      return adam_on(Exec::cpu(2), call, settings, {sum.data(), n}, {state.first.data(), n}, {state.second.data(), n},
                     {state.parameter.data(), n});
    DeviceArray<float> d_sum(sum), d_first(state.first), d_second(state.second), d_parameter(state.parameter);
    adam_on(Exec::cuda(nullptr), call, settings, {d_sum.data(), n}, {d_first.data(), n}, {d_second.data(), n},
            {d_parameter.data(), n});
    state.first = d_first.to_host();
    state.second = d_second.to_host();
    state.parameter = d_parameter.to_host();
  }
};

// The oracle: torch's documented rules in double, on the noise of the long double oracle.
std::vector<double> expected_gradient(const Call& call, const std::vector<float>& sum) {
  const auto z = expected_normals(call.stream, static_cast<int64_t>(sum.size()));
  std::vector<double> gradient;
  for (size_t i = 0; i < sum.size(); ++i)
    gradient.push_back((sum[i] + call.stddev * static_cast<double>(z[i])) / call.divisor);
  return gradient;
}

constexpr int64_t kSteps = 50;
// 50 steps each round a parameter of at most 4 by half an ulp, and the step itself by a few; both stay below this
constexpr double kTolerance = 2e-5;

TEST_P(UpdateTest, SgdFollowsTorchFor50Steps) {
  constexpr int64_t kSize = 1031;
  for (const SgdSettings& settings : {SgdSettings{0.1, 0, 0}, {0.1, 0.9, 0}, {0.05, 0, 0.01}, {0.05, 0.9, 0.01}})
    for (const double stddev : {0.0, 3.0}) {
      State state = start(kSize);
      std::vector<double> w(state.parameter.begin(), state.parameter.end()), v(w.size(), 0.0);
      for (int64_t step = 0; step < kSteps; ++step) {
        const Call call{noise_stream(41, static_cast<uint64_t>(step), 0, kGenerators[step % 2]), stddev, 8.0};
        const auto sum = sum_of_step(kSize, step);
        sgd(call, settings, sum, state);
        const auto g = expected_gradient(call, sum);
        for (size_t i = 0; i < w.size(); ++i) {
          const double direction = g[i] + settings.weight_decay * w[i];
          v[i] = settings.momentum * v[i] + direction;
          w[i] -= settings.learning_rate * (settings.momentum == 0 ? direction : v[i]);
        }
      }
      for (size_t i = 0; i < w.size(); ++i)
        ASSERT_NEAR(state.parameter[i], w[i], kTolerance) << settings.momentum << " " << stddev << " " << i;
    }
}

TEST_P(UpdateTest, AdamFollowsTorchFor50Steps) {
  constexpr int64_t kSize = 517;
  for (AdamSettings settings :
       {AdamSettings{0.01}, {0.01, 0.9, 0.999, 1e-8, 0.1}, {0.01, 0.9, 0.999, 1e-8, 0.1, true}, {0.02, 0.5, 0.9, 1e-3}})
    for (const double stddev : {0.0, 3.0}) {
      State state = start(kSize);
      std::vector<double> w(state.parameter.begin(), state.parameter.end()), m(w.size(), 0.0), v(w.size(), 0.0);
      for (settings.step = 1; settings.step <= kSteps; ++settings.step) {
        const Call call{noise_stream(42, static_cast<uint64_t>(settings.step), 0, kGenerators[settings.step % 2]),
                        stddev, 16.0};
        const auto sum = sum_of_step(kSize, settings.step);
        adam(call, settings, sum, state);
        const auto g = expected_gradient(call, sum);
        const double correct1 = 1 - std::pow(settings.beta1, double(settings.step));
        const double correct2 = 1 - std::pow(settings.beta2, double(settings.step));
        for (size_t i = 0; i < w.size(); ++i) {
          const double gradient = settings.decoupled ? g[i] : g[i] + settings.weight_decay * w[i];
          if (settings.decoupled) w[i] *= 1 - settings.learning_rate * settings.weight_decay;
          m[i] = settings.beta1 * m[i] + (1 - settings.beta1) * gradient;
          v[i] = settings.beta2 * v[i] + (1 - settings.beta2) * gradient * gradient;
          w[i] -= settings.learning_rate * (m[i] / correct1) / (std::sqrt(v[i] / correct2) + settings.epsilon);
        }
      }
      for (size_t i = 0; i < w.size(); ++i)
        ASSERT_NEAR(state.parameter[i], w[i], kTolerance) << settings.decoupled << " " << stddev << " " << i;
    }
}

// The baseline bites where the noise would hide a slip: with noise the parameters must differ from the plain ones.
TEST_P(UpdateTest, NoiseReachesEveryParameter) {
  constexpr int64_t kSize = 2061;
  const auto sum = sum_of_step(kSize, 1);
  State noisy = start(kSize), plain = start(kSize), noisy_adam_state = start(kSize), plain_adam_state = start(kSize);
  sgd({noise_stream(43), 4.0, 1.0}, {0.1}, sum, noisy);
  sgd({{}, 0, 1.0}, {0.1}, sum, plain);
  adam({noise_stream(43), 4.0, 1.0}, {.learning_rate = 0.1, .epsilon = 1.0}, sum, noisy_adam_state);
  adam({{}, 0, 1.0}, {.learning_rate = 0.1, .epsilon = 1.0}, sum, plain_adam_state);
  for (int64_t i = 0; i < kSize; ++i) {
    EXPECT_NE(noisy.parameter[i], plain.parameter[i]) << i;
    EXPECT_NE(noisy_adam_state.parameter[i], plain_adam_state.parameter[i]) << i;
  }
}

TEST_P(UpdateTest, NanOfTheSumReachesTheParameterAndNoOther) {
  auto sum = sum_of_step(20, 0);
  sum[9] = NAN;
  State by_sgd = start(20), by_adam = start(20);
  sgd({noise_stream(44), 1.0, 1.0}, {0.1, 0.9}, sum, by_sgd);
  adam({noise_stream(44), 1.0, 1.0}, {0.1}, sum, by_adam);
  for (size_t i = 0; i < sum.size(); ++i) {
    EXPECT_EQ(std::isnan(by_sgd.parameter[i]), i == 9) << i;
    EXPECT_EQ(std::isnan(by_adam.parameter[i]), i == 9) << i;
  }
}

TEST_P(UpdateTest, IsTheCpusBits) {
  for (const Generator generator : kGenerators) {
    constexpr int64_t kSize = 9001;
    const auto sum = sum_of_step(kSize, 2);
    const Call call{noise_stream(45, 0, 0, generator), 2.0, 3.0};
    State cpu = start(kSize), got = start(kSize);
    for (int64_t step = 1; step <= 3; ++step) {
      sgd_on(Exec::cpu(1), call, {0.1, 0.9, 0.01}, {sum.data(), kSize}, {cpu.first.data(), kSize},
             {cpu.parameter.data(), kSize});
      sgd(call, {0.1, 0.9, 0.01}, sum, got);
    }
    EXPECT_EQ(std::memcmp(got.parameter.data(), cpu.parameter.data(), kSize * 4), 0);
    cpu = start(kSize), got = start(kSize);
    adam_on(Exec::cpu(1), call, {0.1, 0.9, 0.999, 1e-8, 0.1}, {sum.data(), kSize}, {cpu.first.data(), kSize},
            {cpu.second.data(), kSize}, {cpu.parameter.data(), kSize});
    adam(call, {0.1, 0.9, 0.999, 1e-8, 0.1}, sum, got);
    EXPECT_EQ(std::memcmp(got.parameter.data(), cpu.parameter.data(), kSize * 4), 0);
    EXPECT_EQ(std::memcmp(got.second.data(), cpu.second.data(), kSize * 4), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(, UpdateTest, testing::Values(Backend::cpu, Backend::cuda),
                         [](const auto& info) { return info.param == Backend::cpu ? "Cpu" : "Cuda"; });

}  // namespace
}  // namespace sotto::kernels

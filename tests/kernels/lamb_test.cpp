#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/noise/noise.h"
#include "kernels/update/update.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

const StreamKey kStream = RunKey::from_seed(9).stream(Purpose::noise, 4, 2);
const StreamKey kPhiloxStream = RunKey::from_seed(9).stream(Purpose::noise, 4, 2, Generator::philox);

struct State {
  std::vector<float> parameter, first, second;
};

State start(int64_t size) {
  State state = {normal_values(size, 1), normal_values(size, 2), normal_values(size, 3)};
  for (float& value : state.second) value = value * value;
  return state;
}

class LambTest : public BackendTest {
 protected:
  // A stddev of 0 asks for the plain update.
  State step(State state, const std::vector<float>& sum, double stddev, const AdamSettings& settings, int threads = 2,
             const StreamKey& stream = kStream) {
    const auto n = static_cast<int64_t>(sum.size());
    Guarded<float> g(sum, on_cuda()), w(state.parameter, on_cuda()), m(state.first, on_cuda()), v(state.second, on_cuda());
    Guarded<double> workspace(std::vector<double>(static_cast<size_t>(lamb_workspace(n)), NAN), on_cuda());
    if (stddev == 0)
      plain_lamb(exec(threads), 40, settings, {g.data(), n}, m.view(), v.view(), w.view(), workspace.view());
    else
      noisy_lamb(exec(threads), stream, stddev, 40, settings, {g.data(), n}, m.view(), v.view(), w.view(), workspace.view());
    workspace.read();
    return {w.read(), m.read(), v.read()};
  }
};
SOTTO_ON_EACH_BACKEND(LambTest);

// You et al. 2020, algorithm 2, in long double.
void oracle(State& state, const std::vector<float>& noised, const AdamSettings& s, std::vector<long double>& parameter) {
  const long double first = 1 - std::pow(static_cast<long double>(s.beta1), s.step),
                    second = 1 - std::pow(static_cast<long double>(s.beta2), s.step);
  std::vector<long double> r(noised.size());
  long double of_w = 0, of_r = 0;
  for (size_t i = 0; i < noised.size(); ++i) {
    const long double g = noised[i] / 40.0L, w = state.parameter[i];
    const long double m = s.beta1 * state.first[i] + (1 - s.beta1) * g, v = s.beta2 * state.second[i] + (1 - s.beta2) * g * g;
    r[i] = m / first / (std::sqrt(v / second) + s.epsilon) + s.weight_decay * w;
    of_w += w * w;
    of_r += r[i] * r[i];
  }
  const long double ratio = of_w > 0 && of_r > 0 ? std::sqrt(of_w / of_r) : 1;
  for (size_t i = 0; i < noised.size(); ++i) parameter.push_back(state.parameter[i] - s.learning_rate * ratio * r[i]);
}

TEST_P(LambTest, IsThePapersAlgorithmOnTheNoisedMean) {
  for (const int64_t size : {1, 7, 1024, 5000})
    for (const double stddev : {0.0, 3.0})
      for (const AdamSettings& settings : {AdamSettings{.learning_rate = 0.1, .weight_decay = 0.02, .step = 3},
                                           AdamSettings{.learning_rate = 0.01, .beta1 = 0, .epsilon = 1e-3, .step = 1}}) {
        SCOPED_TRACE(testing::Message() << size << " entries, noise " << stddev);
        const StreamKey& stream = size % 2 == 0 ? kStream : kPhiloxStream;
        State state = start(size);
        const std::vector<float> sum = normal_values(size, 5);
        std::vector<float> noised = sum;
        if (stddev > 0)
          add_gaussian(Exec::cpu(1), stream, stddev, {sum.data(), size}, {noised.data(), size});
        std::vector<long double> expected;
        oracle(state, noised, settings, expected);
        const State got = step(state, sum, stddev, settings, 2, stream);
        // A dozen roundings of numbers of a few units.
        for (size_t i = 0; i < expected.size(); ++i)
          ASSERT_NEAR(got.parameter[i], double(expected[i]), 1e-5 * (1 + std::abs(double(expected[i])))) << i;
      }
}

TEST_P(LambTest, ANormOfZeroLeavesTheRateAsItIs) {
  State zero = start(6);
  std::fill(zero.parameter.begin(), zero.parameter.end(), 0.0f);
  const AdamSettings settings{.learning_rate = 0.5, .weight_decay = 0.1, .step = 2};
  std::vector<long double> expected;
  oracle(zero, std::vector<float>(6, 40.0f), settings, expected);
  const State got = step(zero, std::vector<float>(6, 40.0f), 0, settings);
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(got.parameter[i], double(expected[i]), 1e-5);
  State still = start(4);
  std::fill(still.first.begin(), still.first.end(), 0.0f);
  EXPECT_EQ(step(still, std::vector<float>(4, 0.0f), 0, {.learning_rate = 0.5, .step = 1}).parameter, still.parameter);
}

TEST_P(LambTest, GivesTheSameBitsForAnyNumberOfThreads) {
  const State state = start(9000);
  const std::vector<float> sum = normal_values(9000, 8);
  const AdamSettings settings{.learning_rate = 0.1, .step = 1};
  const State one = step(state, sum, 2.0, settings, 1);
  EXPECT_EQ(one.parameter, step(state, sum, 2.0, settings, 3).parameter);
}

TEST_P(LambTest, RefusesWhatCannotBeMeant) {
  const State state = start(8);
  const std::vector<float> sum(8, 1.0f);
  for (const AdamSettings& bad : {AdamSettings{.learning_rate = -1}, AdamSettings{.learning_rate = 1, .beta1 = 1},
                                  AdamSettings{.learning_rate = 1, .beta2 = -0.1}, AdamSettings{.learning_rate = 1, .step = 0}})
    EXPECT_THROW(step(state, sum, 1.0, bad), Error);
  std::vector<float> w(8), m(8), v(8);
  std::vector<double> small(static_cast<size_t>(lamb_workspace(8) - 1));
  EXPECT_THROW(plain_lamb(exec(), 1, {.learning_rate = 1}, {sum.data(), 8}, {m.data(), 8}, {v.data(), 8}, {w.data(), 8},
                          {small.data(), static_cast<int64_t>(small.size())}),
               Error);
}

}  // namespace
}  // namespace sotto::kernels

#include "kernels/update/planned.h"

#include "base/error.h"
#include "cuda/graph.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"
#include "tests/kernels/noise_oracle.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kSteps = 4;
const int64_t kSizes[] = {1, 8, 1031, 20'000};

// Settings that differ in every step, as a schedule and Adam's corrections make them.
SgdSettings sgd_of(uint64_t step) {
  return {0.1 / double(step + 1), 0.9, 0.01};
}
AdamSettings adam_of(uint64_t step) {
  return {.learning_rate = 0.1 / double(step + 1), .weight_decay = 0.1, .decoupled = true, .step = int64_t(step) + 1};
}
StreamKey stream_of(uint64_t step, size_t tensor, Generator generator) {
  return noise_stream(61, step, static_cast<uint32_t>(tensor), generator);
}
std::vector<float> sum_of(uint64_t step, size_t tensor) {
  return normal_values(kSizes[tensor], 10 * step + tensor, 5);
}

// A tensor with its buffers, as the operation alone updates it on the CPU.
struct Expected {
  explicit Expected(size_t tensor)
      : parameter(normal_values(kSizes[tensor], 77)), first(parameter.size()), second(parameter.size()) {}
  std::vector<float> parameter, first, second;
};

VectorView<float> view(std::vector<float>& values) {
  return {values.data(), static_cast<int64_t>(values.size())};
}

class PlannedUpdateTest : public BackendTest {
 protected:
  // One recording, started once a step with that step's plans; the same bits are asked for as of the operation alone.
  template <class Planned, class Plan, class Alone>
  void expect_bits_of_each_step(Generator generator, const Plan& plan, const Alone& alone) {
    std::vector<Expected> expected;
    std::vector<std::unique_ptr<Guarded<float>>> parameters, firsts, seconds;
    for (size_t k = 0; k < std::size(kSizes); ++k) {
      expected.emplace_back(k);
      parameters.push_back(std::make_unique<Guarded<float>>(expected[k].parameter, on_cuda()));
      firsts.push_back(std::make_unique<Guarded<float>>(expected[k].first, on_cuda()));
      seconds.push_back(std::make_unique<Guarded<float>>(expected[k].second, on_cuda()));
    }
    Graph graph;
    std::vector<Planned> table(std::size(kSizes));
    std::unique_ptr<DeviceArray<Planned>> on_device;
    if (on_cuda()) on_device = std::make_unique<DeviceArray<Planned>>(table);
    for (uint64_t step = 0; step < kSteps; ++step) {
      std::vector<std::unique_ptr<Guarded<float>>> sums;  // elsewhere in each step
      for (size_t k = 0; k < std::size(kSizes); ++k) {
        std::vector<float> sum = sum_of(step, k);
        sums.push_back(std::make_unique<Guarded<float>>(sum, on_cuda()));
        const StreamKey stream = stream_of(step, k, generator);
        table[k] = plan(stream, step, VectorView<const float>{sums[k]->data(), kSizes[k]}, firsts[k]->view(),
                        seconds[k]->view(), parameters[k]->view());
        alone(stream, step, VectorView<const float>{sum.data(), kSizes[k]}, expected[k]);
      }
      if (on_cuda()) copy_to_device(on_device->data(), table.data(), table.size() * sizeof(Planned));
      if (step == 0) {
        std::vector<UpdateLaunch> launches;
        for (const Planned& planned : table) launches.push_back(launch_of(planned));
        const Planned* const first = on_cuda() ? on_device->data() : table.data();
        graph.capture(exec(2), [launches, first](const Exec& on) {
          for (size_t k = 0; k < launches.size(); ++k) apply(on, launches[k], first + k);
        });
      }
      graph.replay(exec(2));
      synchronise(exec());
      for (size_t k = 0; k < std::size(kSizes); ++k) {
        ASSERT_EQ(parameters[k]->read(), expected[k].parameter) << "step " << step << ", tensor " << k;
        ASSERT_EQ(firsts[k]->read(), expected[k].first) << "step " << step << ", tensor " << k;
        ASSERT_EQ(seconds[k]->read(), expected[k].second) << "step " << step << ", tensor " << k;
      }
    }
  }
};

TEST_P(PlannedUpdateTest, OneRecordingHasEachStepsOwnNoiseRateAndSum) {
  for (const Generator generator : kGenerators) {
    expect_bits_of_each_step<PlannedSgd>(
        generator,
        [](const StreamKey& stream, uint64_t step, auto sum, auto first, auto, auto parameter) {
          return plan_sgd(stream, 1.5, 7.0, sgd_of(step), sum, first, parameter);
        },
        [](const StreamKey& stream, uint64_t step, auto sum, Expected& e) {
          noisy_sgd(Exec::cpu(1), stream, 1.5, 7.0, sgd_of(step), sum, view(e.first), view(e.parameter));
        });
    expect_bits_of_each_step<PlannedAdam>(
        generator,
        [](const StreamKey& stream, uint64_t step, auto sum, auto first, auto second, auto parameter) {
          return plan_adam(stream, 1.5, 7.0, adam_of(step), sum, first, second, parameter);
        },
        [](const StreamKey& stream, uint64_t step, auto sum, Expected& e) {
          noisy_adam(Exec::cpu(1), stream, 1.5, 7.0, adam_of(step), sum, view(e.first), view(e.second),
                     view(e.parameter));
        });
  }
}

// Beside the operation on the same backend: LAMB's norms are summed in another order on CUDA than on the CPU.
TEST_P(PlannedUpdateTest, OneRecordingOfLambIsTheOperationInEachStep) {
  constexpr int64_t kSize = 20'000;
  for (const Generator generator : kGenerators) {
    Expected start(3);
    std::vector<std::unique_ptr<Guarded<float>>> recorded, alone;  // parameter, first and second moment
    for (auto* set : {&recorded, &alone})
      for (const std::vector<float>& values : {start.parameter, start.first, start.second})
        set->push_back(std::make_unique<Guarded<float>>(values, on_cuda()));
    Guarded<double> space(std::vector<double>(static_cast<size_t>(lamb_workspace(kSize))), on_cuda());
    std::vector<PlannedLamb> table(1);
    std::unique_ptr<DeviceArray<PlannedLamb>> on_device;
    if (on_cuda()) on_device = std::make_unique<DeviceArray<PlannedLamb>>(table);
    Graph graph;
    for (uint64_t step = 0; step < kSteps; ++step) {
      Guarded<float> sum(sum_of(step, 3), on_cuda());
      const StreamKey stream = stream_of(step, 3, generator);
      const VectorView<const float> clipped = {sum.data(), kSize};
      table[0] = plan_lamb(stream, 1.5, 7.0, adam_of(step), clipped, recorded[1]->view(), recorded[2]->view(),
                           recorded[0]->view(), space.view());
      if (on_cuda()) copy_to_device(on_device->data(), table.data(), sizeof(PlannedLamb));
      if (step == 0) {
        const PlannedLamb* const at = on_cuda() ? on_device->data() : table.data();
        graph.capture(exec(2), [launch = launch_of(table[0]), at](const Exec& on) { apply(on, launch, at); });
      }
      graph.replay(exec(2));
      synchronise(exec());
      noisy_lamb(exec(), stream, 1.5, 7.0, adam_of(step), clipped, alone[1]->view(), alone[2]->view(),
                 alone[0]->view(), space.view());
      synchronise(exec());
      for (size_t k = 0; k < recorded.size(); ++k) ASSERT_EQ(recorded[k]->read(), alone[k]->read()) << step << k;
      ASSERT_NE(recorded[0]->read(), start.parameter);
    }
  }
}

SOTTO_ON_EACH_BACKEND(PlannedUpdateTest);

TEST(PlannedUpdate, RefusesAPlanOfAnotherKindThanWasRecorded) {
  float x[32] = {};
  const StreamKey stream = noise_stream(62);
  const PlannedSgd planned = plan_sgd(stream, 1, 1, {0.1, 0.9}, {x, 8}, {x + 8, 8}, {x + 16, 8});
  const UpdateLaunch right = launch_of(planned);
  EXPECT_EQ(right, (UpdateLaunch{8, Generator::chacha20, true}));
  EXPECT_FALSE(launch_of(plan_sgd(stream, 1, 1, {0.1}, {x, 8}, {x + 8, 8}, {x + 16, 8})).has_momentum);
  for (const UpdateLaunch& wrong :
       {UpdateLaunch{7, Generator::chacha20, true}, UpdateLaunch{8, Generator::philox, true},
        UpdateLaunch{8, Generator::chacha20, false}})
    EXPECT_THROW(apply(Exec::cpu(1), wrong, &planned), Error);
  EXPECT_NO_THROW(apply(Exec::cpu(1), right, &planned));
}

TEST(PlannedUpdate, ChecksWhatTheOperationChecks) {
  float x[32] = {};
  const StreamKey stream = noise_stream(63);
  EXPECT_THROW(plan_sgd(stream, 0, 1, {0.1}, {x, 8}, {nullptr, 0}, {x + 16, 8}), Error) << "no noise";
  EXPECT_THROW(plan_sgd(stream, 1, 1, {0.1, 0.9}, {x, 8}, {nullptr, 0}, {x + 16, 8}), Error) << "no buffer";
  double space[2] = {};  // needed are three
  EXPECT_THROW(plan_lamb(stream, 1, 1, {0.1}, {x, 8}, {x, 8}, {x, 8}, {x + 16, 8}, {space, 2}), Error) << "no space";
  EXPECT_THROW(plan_adam(stream, 1, 0, {0.1}, {x, 8}, {x, 8}, {x, 8}, {x + 16, 8}), Error) << "no divisor";
}

}  // namespace
}  // namespace sotto::kernels

#include "base/error.h"
#include "kernels/noise/noise.h"
#include "tests/engine/private_fixture.h"

namespace sotto {
namespace {

const RunKey kKey = RunKey::from_seed(23);

PrivacyPlan plan_with(const std::string& generator) {
  PrivacyConfig config = private_config();
  config.generator = generator;
  config.unsafe_generator = generator != "chacha20";
  return PrivacyPlan(config, 8, kKey, {.parameter_elements = 221});
}

TEST(NoiseGenerator, IsTheOneThatThePlanNames) {
  EXPECT_EQ(plan_with("chacha20").noise().generator(), Generator::chacha20);
  EXPECT_EQ(plan_with("philox").noise().generator(), Generator::philox);
  EXPECT_EQ(PrivacyPlan(private_config(), 8, kKey, {.parameter_elements = 221}).noise().generator(), Generator::chacha20);
}

TEST(NoiseGenerator, DrawsTheNoiseOfEveryStepAndParameter) {
  for (const Generator generator : {Generator::chacha20, Generator::philox}) {
    const PrivacyPlan plan = plan_with(generator == Generator::philox ? "philox" : "chacha20");
    const Parameters parameters = two_parameters();
    PrivateStep step(Exec::cpu(1), parameters, plan, 0, [](uint64_t) {}, [](const auto&) { return GradSamples{}; });
    for (const uint64_t number : {uint64_t{0}, uint64_t{7}}) {
      const auto got = opened(step.next(number), parameters);
      for (int64_t k = 0; k < parameters.size(); ++k) {
        at::Tensor noise = at::zeros({parameters.tensor(k).numel()});
        kernels::fill_gaussian(Exec::cpu(1), kKey.stream(Purpose::noise, number, static_cast<uint32_t>(k), generator),
                               1.5 * plan.clipping().l2_sensitivity(), {noise.mutable_data_ptr<float>(), noise.numel()});
        // Divided by 1 and subtracted from 0: nothing is rounded.
        EXPECT_TRUE(got[static_cast<size_t>(k)].view({-1}).equal(noise.to(at::kDouble))) << "step " << number << ", parameter " << k;
      }
    }
  }
}

// What the sampler draws, and the count that an adaptive clip norm follows, stay with ChaCha20.
TEST(NoiseGenerator, LeavesSamplingAndTheCountAlone) {
  EXPECT_EQ(plan_with("philox").sampler(400).draw(3).units, plan_with("chacha20").sampler(400).draw(3).units);
  const auto clip_norm_after = [](const std::string& generator) {
    const Rows rows = rows_of_known_norms();
    PrivacyConfig config = following(0.5, private_config());
    config.generator = generator;
    config.unsafe_generator = true;
    const Parameters parameters = two_parameters();
    const PrivacyPlan plan(config, 64, kKey, {.parameter_elements = 221});
    PrivateStep step(Exec::cpu(1), parameters, plan, 300, [](uint64_t) {}, [&](const auto& units) { return rows.of(units); });
    step.next(0);
    return step.clip_norm();
  };
  EXPECT_EQ(clip_norm_after("philox"), clip_norm_after("chacha20"));
  EXPECT_NE(clip_norm_after("philox"), kClipNorm);
}

}  // namespace
}  // namespace sotto

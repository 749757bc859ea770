#include "engine/privacy_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>

#include "accountants/accountant.h"
#include "accountants/calibrate.h"
#include "accountants/run_allotment.h"
#include "base/error.h"
#include "tests/engine/private_fixture.h"

namespace sotto {
namespace {

const RunKey kKey = RunKey::from_seed(5);
const ModelStructure kStructure = {.parameter_elements = 1000};

// What the trainer makes of both configs. Of the second, only the micro-batch reaches the plan at all.
PrivacyPlan plan_of(const PrivacyConfig& privacy, const PerformanceConfig& performance) {
  return PrivacyPlan(privacy, performance.microbatch, kKey, kStructure);
}

TEST(PrivacyPlan, PerformanceChangesNeitherLedgerNorGuarantee) {
  const PerformanceConfig usual = {1, 64, false, "cpu", 1 << 20, "measured", 2, "float32", false};
  // A field that is added must be added here.
  const auto& [threads, microbatch, halving, device, storage_limit, planner, streams, precision, recorded] = usual;
  std::vector<PerformanceConfig> others(9, usual);
  others[0].threads = threads + 3;
  others[1].microbatch = microbatch / 64;
  others[2].device = device + "x";
  others[3].storage_limit = storage_limit * 0;
  others[4].planner = planner + "x";
  others[5].streams = streams - 1;
  others[6].precision = precision + "x";
  others[7].auto_microbatch = !halving;
  others[8].record_passes = !recorded;
  for (const double noise_multiplier : {0.0, 1.5}) {
    PrivacyConfig config = private_config();
    config.noise_multiplier = noise_multiplier;
    const PrivacyPlan plan = plan_of(config, usual);
    for (const PerformanceConfig& performance : others) {
      const PrivacyPlan other = plan_of(config, performance);
      EXPECT_EQ(other.hash(), plan.hash());
      EXPECT_EQ(other.event(), plan.event());
      EXPECT_EQ(other.noise().noise_multiplier(), plan.noise().noise_multiplier());
      EXPECT_EQ(other.accounting_delta(), plan.accounting_delta());
      EXPECT_EQ(other.clipping().clip_norm(), plan.clipping().clip_norm());
      EXPECT_EQ(other.clipping().batch_cap(), plan.clipping().batch_cap());
      EXPECT_EQ(other.sampler(500).draw(3).units, plan.sampler(500).draw(3).units);
      EXPECT_EQ(other.expected_batch(), plan.expected_batch());
    }
  }
}

TEST(PrivacyPlan, HashHoldsEveryFieldOfThePrivacyConfig) {
  const std::function<void(PrivacyConfig&)> changes[] = {
      [](PrivacyConfig& c) { c.unit_of_privacy = "visit"; },
      [](PrivacyConfig& c) { c.relation = accountants::NeighbouringRelation::zero_out; },
      [](PrivacyConfig& c) { c.accountant = "rdp2"; },
      [](PrivacyConfig& c) { c.epsilon = std::nextafter(c.epsilon, 9); },
      [](PrivacyConfig& c) { c.delta = std::nextafter(c.delta, 1); },
      [](PrivacyConfig& c) { c.noise_multiplier = std::nextafter(c.noise_multiplier, 9); },
      [](PrivacyConfig& c) { c.clip_norm = std::nextafter(c.clip_norm, 9); },
      [](PrivacyConfig& c) { c.sample_rate = std::nextafter(c.sample_rate, 1); },
      [](PrivacyConfig& c) { c.public_size += 1; },
      [](PrivacyConfig& c) { c.steps += 1; },
      [](PrivacyConfig& c) { c.clipping.rule = "automatic"; },
      [](PrivacyConfig& c) { c.clipping.stability = 0.2; },
      [](PrivacyConfig& c) { c.clipping.groups = "layer"; },
      [](PrivacyConfig& c) { c.clipping.quantile = 0.5; },
      [](PrivacyConfig& c) { c.clipping.learning_rate = 0.3; },
      [](PrivacyConfig& c) { c.clipping.count_noise = 7; },
      [](PrivacyConfig& c) { c.noise = "discrete_gaussian"; },
      [](PrivacyConfig& c) { c.unsafe_generator = true; },
      [](PrivacyConfig& c) { c.unsafe_generator = true, c.generator = "philox"; }};
  // Fourteen fields, of which the clipping has six: one more does not compile until it has its line above.
  const auto& [unit, relation, accountant, epsilon, delta, noise, clip_norm, rate, size, steps, clipping, noise_kind, generator,
               unsafe_generator] = private_config();
  const auto& [rule, stability, groups, quantile, learning_rate, count_noise] = clipping;
  (void)rule, (void)stability, (void)groups, (void)quantile, (void)learning_rate, (void)count_noise;
  (void)unit, (void)noise_kind, (void)generator, (void)unsafe_generator, (void)relation, (void)accountant, (void)epsilon, (void)delta, (void)noise, (void)clip_norm, (void)rate,
      (void)size, (void)steps;
  std::set<std::string> hashes = {plan_of(private_config(), {1, 8}).hash()};
  for (const auto& change : changes) {
    PrivacyConfig config = private_config();
    change(config);
    EXPECT_TRUE(hashes.insert(plan_of(config, {1, 8}).hash()).second);
  }
  EXPECT_EQ(hashes.begin()->size(), 64u);
}

// A field that is newer than a ledger must not change the hash of what the ledger holds.
TEST(PrivacyPlan, TheHashOfAConfigWithoutLatticeStaysWhatItWas) {
  EXPECT_EQ(plan_of(private_config(), {1, 8}).hash(), "754309c76e2a383f59ba4e670aa544a9935d7b714e317f65f16e9fb7df6b2209");
}

TEST(PrivacyPlan, DiscreteNoiseIsChargedCalibratedAndHashedAsSuch) {
  PrivacyConfig config = private_config();
  config.noise = "discrete_gaussian";
  const PrivacyPlan given = plan_of(config, {1, 8});
  EXPECT_EQ(given.event(), (accountants::Event{accountants::PoissonSampledDiscreteGaussian{1.5, 0.25}}));
  EXPECT_NE(given.hash(), plan_of(private_config(), {1, 8}).hash());
  EXPECT_TRUE(given.clipping().on_lattice() && given.noise().on_lattice());
  EXPECT_EQ(given.clipping().rounding(), 0);
  EXPECT_EQ(given.clipping().l2_sensitivity(), kClipNorm);
  EXPECT_FALSE(plan_of(private_config(), {1, 8}).clipping().on_lattice() || plan_of(private_config(), {1, 8}).noise().on_lattice());
  for (const double epsilon : {0.5, 8.0})
    for (const double quantile : {0.0, 0.5}) {
      config.noise_multiplier = 0;
      config.epsilon = epsilon;
      config.clipping.quantile = quantile;
      config.clipping.count_noise = 40;
      const PrivacyPlan plan = plan_of(config, {1, 8});
      const auto accountant = accountants::make_accountant("rdp", config.relation);
      accountant->compose(plan.event(), config.steps);
      EXPECT_LE(accountant->epsilon(plan.accounting_delta()), epsilon);
      EXPECT_GE(accountant->epsilon(plan.accounting_delta()), epsilon * 0.99);
      EXPECT_GE(kernels::lattice_noise_multiplier(plan.clipping().lattice().squared_bound), plan.noise().noise_multiplier());
      EXPECT_GE(plan.noise().noise_multiplier(), plan.config().noise_multiplier);
    }
}

TEST(PrivacyPlan, DiscreteNoiseUnderPldSaysHowFineItsLatticeIs) {
  PrivacyConfig config = private_config();
  config.noise = "discrete_gaussian";
  config.accountant = "pld";
  const PrivacyPlan plan = plan_of(config, {1, 8});
  const auto event = std::get<accountants::PoissonSampledLatticeGaussian>(plan.event().mechanism);
  // σ = 2^40 / √(2 ln 2), rounded down; what a unit contributes is within the square of σ / noise_multiplier.
  EXPECT_NEAR(event.sigma * std::sqrt(2 * std::log(2.0)) / 0x1p40, 1, 1e-12);
  EXPECT_LE(event.sigma, 0x1p40 / std::sqrt(2 * std::log(2.0)));
  const double squared = static_cast<double>(plan.clipping().lattice().squared_bound);
  EXPECT_LE(squared, event.sigma / event.noise_multiplier * (event.sigma / event.noise_multiplier));
  config.noise = "gaussian";
  const accountants::Target target{2, 1e-5, "pld"};
  EXPECT_EQ(accountants::most_steps(target, plan.event()).fits->value,
            accountants::most_steps(target, plan_of(config, {1, 8}).event()).fits->value);
}

TEST(PrivacyPlan, PldNeedsLessNoiseThanRdpForTheSameStepsAndItsRunTakesThemAll) {
  PrivacyConfig config = private_config();
  config.noise_multiplier = 0;
  config.epsilon = 2;
  config.accountant = "rdp";
  const double rdp_noise = plan_of(config, {1, 8}).config().noise_multiplier;
  config.accountant = "pld";
  const PrivacyPlan plan = plan_of(config, {1, 8});
  EXPECT_LT(plan.config().noise_multiplier, rdp_noise * 0.99);
  const accountants::FixedSchedule steps(config.relation, {{plan.event(), config.steps}});
  EXPECT_LE(steps.epsilon(plan.accounting_delta(), {.relative_gap = 1e-5}).upper, 2);
  EXPECT_EQ(accountants::RunAllotment(steps, {2, plan.accounting_delta(), "pld"}).steps(), config.steps);
}

TEST(PrivacyPlan, TheTailsOfManyNoisedValuesArePaidForWithMoreOfDelta) {
  PrivacyConfig config = private_config();
  config.delta = 1e-5;
  const auto delta_of = [&](int64_t elements) {
    return PrivacyPlan(config, 64, kKey, {.parameter_elements = elements}).accounting_delta();
  };
  EXPECT_EQ(delta_of(1000), config.delta * (1 - 1e-4));
  const auto steps = static_cast<double>(config.steps);
  EXPECT_EQ(delta_of(static_cast<int64_t>(1e11 / steps)), config.delta * (1 - 1e-3));
  EXPECT_EQ(delta_of(static_cast<int64_t>(1e12 / steps)), config.delta * (1 - 1e-2));
  EXPECT_THROW(delta_of(static_cast<int64_t>(1e13 / steps)), Error);
}

TEST(PrivacyPlan, SamplerNoiseAndEventSayTheSame) {
  const PrivacyPlan plan = plan_of(private_config(), {1, 8});
  const auto event = std::get<accountants::PoissonSampledGaussian>(plan.event().mechanism);
  EXPECT_EQ(event.noise_multiplier, plan.noise().noise_multiplier());
  EXPECT_EQ(event.sample_rate, plan.config().sample_rate);
  EXPECT_EQ(plan.sampler(400).draw(0).units, PoissonSampler(kKey, event.sample_rate, 400).draw(0).units);
  EXPECT_EQ(plan.clipping().l2_sensitivity(), kClipNorm * (1 + 2 * plan.clipping().rounding()));
}

TEST(PrivacyPlan, AnAdaptiveClipNormsCountTakesItsShareOfTheNoise) {
  PrivacyConfig config = private_config();
  config.clipping.quantile = 0.5;
  config.clipping.count_noise = 4;
  const PrivacyPlan plan = plan_of(config, {1, 8});
  const double gradient = plan.noise().noise_multiplier(), count = 2 * plan.noise().count_stddev();
  EXPECT_GT(gradient, config.noise_multiplier);
  // Together no cheaper than the event that is charged, and dearer by rounding alone.
  const double joint = 1 / std::sqrt(1 / (gradient * gradient) + 1 / (count * count));
  EXPECT_GE(joint, config.noise_multiplier);
  EXPECT_NEAR(joint, config.noise_multiplier, 1e-14);
  EXPECT_EQ(std::get<accountants::PoissonSampledGaussian>(plan.event().mechanism).noise_multiplier, config.noise_multiplier);
  config.clipping.count_noise = config.noise_multiplier / 2;
  EXPECT_THROW(plan_of(config, {1, 8}), Error);
  for (const auto& wrong : {ClippingConfig{.rule = "per_element"}, ClippingConfig{.groups = "tensor"}, ClippingConfig{.stability = 0},
                            ClippingConfig{.quantile = 1}, ClippingConfig{.learning_rate = 0, }, ClippingConfig{.count_noise = -1},
                            ClippingConfig{.rule = "automatic", .quantile = 0.5}, ClippingConfig{.groups = "layer", .quantile = 0.5}}) {
    PrivacyConfig bad = private_config();
    bad.clipping = wrong;
    EXPECT_THROW(plan_of(bad, {1, 8}), Error);
  }
}

TEST(PrivacyPlan, CalibratedNoiseSpendsAtMostTheAllotment) {
  for (const double epsilon : {0.5, 1.0, 8.0}) {
    PrivacyConfig config = private_config();
    config.noise_multiplier = 0;
    config.epsilon = epsilon;
    const PrivacyPlan plan = plan_of(config, {1, 8});
    const auto accountant = accountants::make_accountant("rdp", config.relation);
    accountant->compose(plan.event(), config.steps);
    EXPECT_LT(plan.accounting_delta(), config.delta) << "the truncated tails are paid for";
    EXPECT_LE(accountant->epsilon(plan.accounting_delta()), epsilon);
    EXPECT_GE(accountant->epsilon(plan.accounting_delta()), epsilon * 0.99);
  }
}

TEST(PrivacyPlan, BatchCapIsBernsteinsAtOneIn10To18) {
  for (const auto& [rate, size] : {std::pair(0.001, int64_t{10}), std::pair(0.04, int64_t{55743}), std::pair(1.0, int64_t{400})}) {
    PrivacyConfig config = private_config();
    config.sample_rate = rate;
    config.public_size = size;
    config.noise_multiplier = 40;
    const auto cap = static_cast<double>(plan_of(config, {1, 1024}).clipping().batch_cap());
    const double mean = 1.25 * rate * static_cast<double>(size);  // a quarter more units than declared
    const auto log_tail = [&](double t) { return -t * t / (2 * mean + 2 * t / 3); };
    EXPECT_LE(log_tail(cap - mean), -std::log(1e18));
    EXPECT_GE(log_tail(cap - 2 - mean), -std::log(1e18) * 1.2) << "far above what is needed";
  }
}

TEST(PrivacyPlan, RefusesWhatCannotHoldWithValueAndWayOut) {
  const auto message = [](const std::function<void(PrivacyConfig&)>& change) -> std::string {
    PrivacyConfig config = private_config();
    change(config);
    try {
      plan_of(config, {1, 1});
      return "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::configuration) << error.what();
      return error.what();
    }
  };
  using C = PrivacyConfig&;
  const double inf = INFINITY;
  for (const double value : {0.0, -1.0, double(NAN), inf, 1e-30})
    EXPECT_NE(message([&](C c) { c.clip_norm = value; }).find("privacy.clip_norm"), std::string::npos) << value;
  for (const double value : {0.0, -1.0, double(NAN), 1.5})
    EXPECT_NE(message([&](C c) { c.sample_rate = value; }).find("privacy.sample_rate"), std::string::npos) << value;
  for (const double value : {0.0, -1.0, double(NAN), 1.0})
    EXPECT_NE(message([&](C c) { c.delta = value; }).find("privacy.delta"), std::string::npos) << value;
  for (const double value : {-1.0, double(NAN), inf})
    EXPECT_NE(message([&](C c) { c.noise_multiplier = value; }).find("privacy.noise_multiplier"), std::string::npos) << value;
  EXPECT_NE(message([](C c) { c.public_size = 0; }).find("privacy.public_size"), std::string::npos);
  EXPECT_NE(message([](C c) { c.steps = 0; }).find("train.steps"), std::string::npos);
  EXPECT_NE(message([](C c) { c.delta = 1e-15, c.steps = 1000000; }).find("tails"), std::string::npos);
  EXPECT_NE(message([](C c) { c.public_size = 100000000; }).find("sample_rate"), std::string::npos);
  EXPECT_NE(message([](C c) { c.noise = "laplace"; }).find("privacy.noise must be one of gaussian, discrete_gaussian, got laplace"), std::string::npos);
  EXPECT_NE(message([](C c) { c.generator = "twister"; }).find("privacy.generator must be one of chacha20, philox, got twister"), std::string::npos);
  const std::string philox = message([](C c) { c.generator = "philox"; });
  for (const char* part : {"not a cryptographic generator", "no guarantee", "leave it out", "privacy.unsafe_generator = true"})
    EXPECT_NE(philox.find(part), std::string::npos) << part << " in: " << philox;
  EXPECT_EQ(message([](C c) { c.generator = "philox", c.unsafe_generator = true; }), "accepted");
  EXPECT_NE(message([](C c) { c.generator = "philox", c.unsafe_generator = true, c.noise = "discrete_gaussian"; }).find("drawn from ChaCha20"), std::string::npos);
  const auto discrete = [&](const std::function<void(PrivacyConfig&)>& change) {
    return message([&](C c) { c.noise = "discrete_gaussian", change(c); });
  };
  EXPECT_NE(discrete([](C c) { c.noise_multiplier = 1e-4; }).find("privacy.noise_multiplier must be between"), std::string::npos);
  EXPECT_NE(discrete([](C c) { c.noise_multiplier = 1e10; }).find("privacy.noise_multiplier must be between"), std::string::npos);
  EXPECT_NE(discrete([](C c) { c.public_size = 100000000; }).find("units, but batches have up to"), std::string::npos);
  EXPECT_NE(discrete([](C c) { c.epsilon = 100; }).find("lower privacy.epsilon"), std::string::npos);
  EXPECT_NE(discrete([](C c) { c.clipping.quantile = 0.5, c.clipping.count_noise = 1e9; }).find("2 · privacy.clip_count_noise must be between"), std::string::npos);
  EXPECT_EQ(discrete([](C c) { c.delta = 1e-15, c.steps = 1000000; }), "accepted") << "there are no tails to speak of";
  EXPECT_THROW(plan_of(private_config(), {1, 0}), Error);
}

}  // namespace
}  // namespace sotto

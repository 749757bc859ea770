#include <gtest/gtest.h>

#include <numeric>

#include "accountants/accountant.h"
#include "base/error.h"
#include "engine/lattice_sum.h"
#include "engine/tape/tape.h"
#include "kernels/lattice/discrete_gaussian.h"
#include "tests/engine/private_fixture.h"
#include "tests/engine/subject.h"

namespace sotto {
namespace {

using kernels::Uint128;

const RunKey kKey = RunKey::from_seed(5);
const ModelStructure kStructure = {.parameter_elements = 221};

PrivacyConfig lattice_config() {
  PrivacyConfig config = private_config();
  config.noise = "discrete_gaussian";
  return config;
}

Clipping clipping_with(int64_t microbatch, const ClippingConfig& how = {}) {
  PrivacyConfig config = lattice_config();
  config.clipping = how;
  return PrivacyPlan(config, microbatch, kKey, kStructure).clipping();
}

// The integers themselves.
std::vector<at::Tensor> points_of(const Parameters& parameters, const Clipping& clipping, const std::vector<int64_t>& units, const Rows& rows,
                                  StepDiagnostics* diagnostics = nullptr, int threads = 2) {
  StepTrace trace;
  const ClippedSum sum = clip(Exec::cpu(threads), parameters, clipping, {units}, [&](const auto& some) { return rows.of(some); }, trace);
  if (diagnostics) *diagnostics = trace.diagnostics();
  return PlanPartsForTests::sums(sum);
}

bool same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  bool equal = a.size() == b.size();
  for (size_t k = 0; equal && k < a.size(); ++k) equal = a[k].equal(b[k]);
  return equal;
}

Uint128 squared(const std::vector<at::Tensor>& points) {
  Uint128 sum = 0;
  for (const at::Tensor& part : points)
    for (int64_t j = 0; j < part.numel(); ++j) {
      const __int128 x = part.const_data_ptr<int64_t>()[j];
      sum += static_cast<Uint128>(x * x);
    }
  return sum;
}

TEST(LatticeStep, SumsAreTheSameBitsForAnyMicroBatchThreadsAndOrder) {
  const Parameters parameters = two_parameters();
  at::manual_seed(3);
  Rows rows = random_rows(50, 1.0);
  for (at::Tensor& part : rows.by_parameter) part.mul_(at::exp(at::randn({50, 1}).mul_(3)));
  rows.by_parameter[1][13][4] = NAN;
  const auto whole = points_of(parameters, clipping_with(50), first_units(50), rows);
  EXPECT_GT(static_cast<double>(squared(whole)), 0);
  for (const int64_t microbatch : {1, 3, 7, 49})
    for (const int threads : {1, 3}) {
      EXPECT_TRUE(same(points_of(parameters, clipping_with(microbatch), first_units(50), rows, nullptr, threads), whole)) << microbatch;
    }
  for (int round = 0; round < 5; ++round) {
    const at::Tensor order = at::randperm(50);
    const Rows shuffled = {{rows.by_parameter[0].index_select(0, order), rows.by_parameter[1].index_select(0, order)}};
    EXPECT_TRUE(same(points_of(parameters, clipping_with(7), first_units(50), shuffled), whole)) << "in another order";
  }
  // And so is what the optimizer reads, noise included.
  const auto read = [&](int64_t microbatch) {
    const PrivacyPlan plan(lattice_config(), microbatch, kKey, kStructure);
    StepTrace ignored;
    ClippedSum sum = clip(Exec::cpu(2), parameters, plan.clipping(), {first_units(50)}, [&](const auto& some) { return rows.of(some); }, ignored);
    return opened(add_noise(std::move(sum), plan.noise(), 3), parameters);
  };
  const auto once = read(50);
  for (const int64_t microbatch : {1, 7}) EXPECT_EQ(distance(read(microbatch), once), 0);
}

TEST(LatticeStep, NoUnitsIntegersPassTheBoundWhateverItsGradient) {
  const Parameters parameters({{"a.weight", at::zeros({30, 7}).set_requires_grad(true)}, {"b.bias", at::zeros({11}).set_requires_grad(true)}});
  at::manual_seed(1);
  std::vector<at::Tensor> w, b;
  for (const double scale : {0.0, 1e-45, 1e-38, 1e-20, 1e-12, 1e-6, 0.03, 0.0336, 1.0, 1e6, 1e18, 1e30, 3e37}) {
    const Rows rows = random_rows(1, scale);
    w.push_back(rows.by_parameter[0]), b.push_back(rows.by_parameter[1]);
  }
  w.push_back(at::zeros({1, 210}).index_fill_(1, at::tensor({17}, at::kLong), 3.4028234e38)), b.push_back(at::zeros({1, 11}));
  w.push_back(at::full({1, 210}, 3.4e38)), b.push_back(at::full({1, 11}, -3.4e38));
  w.push_back(at::full({1, 210}, NAN)), b.push_back(at::zeros({1, 11}));
  w.push_back(at::zeros({1, 210})), b.push_back(at::full({1, 11}, -INFINITY));
  const Rows rows = {{at::cat(w), at::cat(b)}};
  for (const ClippingConfig& how : {ClippingConfig{}, ClippingConfig{.groups = "layer"}, ClippingConfig{.rule = "automatic"}, ClippingConfig{.rule = "psac", .groups = "layer"}})
    for (int64_t unit = 0; unit < rows.by_parameter[0].size(0); ++unit) {
      const Clipping clipping = clipping_with(1, how);
      const kernels::Lattice lattice = clipping.lattice();
      StepDiagnostics diagnostics;
      const auto points = points_of(parameters, clipping, {unit}, rows, &diagnostics);
      EXPECT_TRUE(squared(points) <= lattice.squared_bound) << "unit " << unit << how.rule << how.groups;
      const bool finite = rows.by_parameter[0][unit].isfinite().all().item<bool>() && rows.by_parameter[1][unit].isfinite().all().item<bool>();
      EXPECT_EQ(diagnostics.non_finite, finite ? 0 : 1) << "unit " << unit;
      if (!finite) { EXPECT_TRUE(squared(points) == 0) << "a non-finite unit counts as exactly 0"; }
      if (how.rule != "flat" || how.groups != "all" || !finite) continue;
      double error = 0, norm = 0;
      for (size_t k = 0; k < 2; ++k) {
        const at::Tensor exact = rows.by_parameter[k][unit].to(at::kDouble);
        error = std::max(error, (points[k].view({-1}).to(at::kDouble) * lattice.step - exact).abs().max().item<double>());
        norm = std::hypot(norm, exact.norm().item<double>());
      }
      if (norm < 0.99 * kClipNorm) { EXPECT_LE(error, lattice.step / 2 * (1 + 1e-9)) << "a short unit is rounded to nearest"; }
      if (norm > kClipNorm) { EXPECT_GE(std::sqrt(static_cast<double>(squared(points))) * lattice.step, kClipNorm * (1 - 1e-5)) << "clipped further than needed"; }
    }
  EXPECT_EQ(clipping_with(1).l2_sensitivity(), kClipNorm) << "no rounding term";
}

TEST(LatticeStep, RemovingAUnitTakesItsOwnIntegersOffAndNothingElse) {
  const Parameters parameters = two_parameters();
  at::manual_seed(2);
  const Rows rows = random_rows(60, 0.3);
  const Clipping clipping = clipping_with(16);
  const auto with = points_of(parameters, clipping, first_units(60), rows);
  for (int64_t unit = 0; unit < 60; unit += 7) {
    auto others = first_units(60);
    others.erase(others.begin() + unit);
    const auto without = points_of(parameters, clipping, others, rows), own = points_of(parameters, clipping, {unit}, rows);
    for (size_t k = 0; k < with.size(); ++k) EXPECT_TRUE((with[k] - without[k]).equal(own[k])) << "unit " << unit;
  }
}

// Norms and factors that are wrong cannot widen what a sample adds: its integers are measured themselves.
TEST(LatticeStep, WhatFactorsLetThroughIsShortenedOrDropped) {
  const auto points = [](const std::vector<at::Tensor>& rows, uint64_t bound) {
    GradSamples grads;
    grads.batch = rows.front().size(0);
    std::vector<at::Tensor> sums;
    for (const at::Tensor& each : rows) {
      ParameterSamples samples;
      samples.stored.push_back(each);
      grads.parameters.push_back(samples);
      sums.push_back(at::zeros({each.size(1)}, at::kLong));
    }
    add_on_lattice(Exec::cpu(1), grads, std::vector<int64_t>(rows.size()), at::ones({1, grads.batch}), {bound, 1.0}, sums);
    return sums;
  };
  const auto is = [](const at::Tensor& sum, std::vector<int64_t> expected) { return sum.equal(at::tensor(at::ArrayRef<int64_t>(expected), at::kLong)); };
  const auto row = [](std::vector<float> values) { return at::tensor(at::ArrayRef<float>(values)).view({1, -1}); };
  EXPECT_TRUE(is(points({row({1.6f, 0.7f})}, 5)[0], {2, 1})) << "within the bound as it is";
  EXPECT_TRUE(is(points({row({1.6f, 0.7f})}, 4)[0], {1, 0})) << "2² + 1² is above it";
  EXPECT_TRUE(is(points({row({3.0f, 0.7f})}, 8)[0], {0, 0})) << "3² is above it";
  EXPECT_TRUE(is(points({row({NAN, 0.7f})}, 8)[0], {0, 0}));
  const at::Tensor three = at::cat({row({NAN, 1.0f}), row({2.0f, 2.0f}), row({1.9f, -1.9f})});
  EXPECT_TRUE(is(points({three}, 4)[0], {1, -1})) << "each sample by itself";
  const auto two = points({row({1.9f}), row({1.9f})}, 5);
  EXPECT_TRUE(is(two[0], {1}) && is(two[1], {1})) << "each parameter alone is within the bound, the sample is not";
}

TEST(LatticeStep, NoiseIsTheDiscreteGaussianOfItsStreamScaled) {
  const Parameters parameters = two_parameters();
  const PrivacyPlan plan(lattice_config(), 8, kKey, kStructure);
  PrivateStep step(Exec::cpu(1), parameters, plan, 0, [](uint64_t) {},
                   [&](const auto&) -> GradSamples { throw Error(ErrorKind::internal, "read an empty batch"); });
  for (const uint64_t number : {uint64_t{0}, uint64_t{7}}) {
    const auto got = opened(step.next(number), parameters, plan.expected_batch());
    for (int64_t k = 0; k < parameters.size(); ++k) {
      at::Tensor noise = at::zeros({parameters.tensor(k).numel()}, at::kLong);
      kernels::add_discrete_gaussian(Exec::cpu(1), kKey.stream(Purpose::lattice_noise, number, static_cast<uint32_t>(k)),
                                     kernels::kLatticeScale, {noise.mutable_data_ptr<int64_t>(), noise.numel()});
      const at::Tensor expected = noise.to(at::kDouble) * plan.clipping().lattice().step / plan.expected_batch();
      // Rounding to float32, the division and the subtraction round once each.
      EXPECT_LE((got[static_cast<size_t>(k)].view({-1}) - expected).abs().max().item<double>(), 0x1p-22 * expected.abs().max().item<double>());
    }
  }
}

TEST(LatticeStep, NoiseHasTheStandardDeviationThatWasCharged) {
  constexpr int64_t elements = 20000, steps = 40;
  const Parameters parameters({{"a", at::zeros({elements}).set_requires_grad(true)}, {"b", at::zeros({elements}).set_requires_grad(true)}});
  const PrivacyPlan plan(lattice_config(), 8, kKey, {.parameter_elements = 2 * elements});
  PrivateStep step(Exec::cpu(2), parameters, plan, 0, [](uint64_t) {}, [](const auto&) { return GradSamples{}; });
  std::vector<at::Tensor> draws;
  for (uint64_t number = 0; number < steps; ++number)
    for (const at::Tensor& values : opened(step.next(number), parameters)) draws.push_back(values);
  const at::Tensor z = at::stack(draws) / (1.5 * kClipNorm);
  const double count = 2.0 * steps * elements;
  // 1.6 million values: the variance's standard error is 0.11 %.
  EXPECT_NEAR(z.square().mean().item<double>(), 1, 0.005);
  EXPECT_NEAR(z.mean().item<double>(), 0, 5 / std::sqrt(count));
  const at::Tensor correlation = at::mm(z, z.t()) / static_cast<double>(elements);
  EXPECT_LE((correlation - at::diag(correlation.diag())).abs().max().item<double>(), 6 / std::sqrt(double(elements)));
  EXPECT_GE(kernels::lattice_noise_multiplier(plan.clipping().lattice().squared_bound), 1.5);
}

TEST(LatticeStep, AddsUpToWhatFloat32AddsUpTo) {
  const Parameters parameters = two_parameters();
  at::manual_seed(9);
  Rows rows = random_rows(80, 0.1);
  for (at::Tensor& part : rows.by_parameter) part.mul_(at::exp(at::randn({80, 1})));
  const Clipping lattice = clipping_with(16), usual = PrivacyPlan(private_config(), 16, kKey, kStructure).clipping();
  StepDiagnostics one;
  StepTrace other;
  const auto points = points_of(parameters, lattice, first_units(80), rows, &one);
  const ClippedSum sum = clip(Exec::cpu(1), parameters, usual, {first_units(80)}, [&](const auto& some) { return rows.of(some); }, other);
  std::vector<at::Tensor> scaled, floats;
  for (size_t k = 0; k < 2; ++k) {
    scaled.push_back(points[k].to(at::kDouble) * lattice.lattice().step);
    floats.push_back(PlanPartsForTests::sums(sum)[k].to(at::kDouble));
  }
  EXPECT_LE(distance(scaled, floats), usual.rounding() * kClipNorm + 80 * std::sqrt(221.0) * lattice.lattice().step);
  EXPECT_EQ(one.clipped, other.diagnostics().clipped);
  EXPECT_EQ(one.batch_size, other.diagnostics().batch_size);
}

TEST(LatticeStep, NoiseAndSumMustBeOfOneKindAndFitEachOther) {
  const Parameters parameters = two_parameters();
  const Rows rows = random_rows(4, 1);
  const auto sum = [&](const PrivacyConfig& config) {
    StepTrace ignored;
    return clip(Exec::cpu(1), parameters, PrivacyPlan(config, 4, kKey, kStructure).clipping(), {first_units(4)},
                [&](const auto& some) { return rows.of(some); }, ignored);
  };
  const PrivacyPlan lattice(lattice_config(), 4, kKey, kStructure), usual(private_config(), 4, kKey, kStructure);
  EXPECT_THROW(add_noise(sum(lattice_config()), usual.noise(), 0), Error);
  EXPECT_THROW(add_noise(sum(private_config()), lattice.noise(), 0), Error);
  PrivacyConfig less = lattice_config();
  less.noise_multiplier = 1.49;  // a wider bound under the same noise
  EXPECT_THROW(add_noise(sum(less), lattice.noise(), 0), Error);
  add_noise(sum(lattice_config()), lattice.noise(), 0);
}

TEST(LatticeStep, AnAdaptiveClipNormFollowsACountWithDiscreteNoise) {
  const Parameters parameters = two_parameters();
  const Rows rows = rows_of_known_norms();
  for (const double quantile : {0.2, 0.9}) {
    const PrivacyPlan plan(following(quantile, lattice_config()), 64, kKey, kStructure);
    PrivateStep step(Exec::cpu(1), parameters, plan, 300, [](uint64_t) {}, [&](const auto& units) { return rows.of(units); });
    double mean = 0, square = 0;
    std::vector<double> noise;
    for (uint64_t number = 0; number < 100; ++number) {
      const double before = step.clip_norm();
      const PrivateGradient gradient = step.next(number);
      const double share = quantile - std::log(step.clip_norm() / before) / 0.3;
      noise.push_back((share - 0.5) * 300 - (std::min(300.0, std::floor(before * 100 * (1 + 1e-9))) - 150));
      if (number >= 60) mean += step.clip_norm() / 40;
    }
    EXPECT_NEAR(mean, 3 * quantile, 0.15) << "the count's noise is 5 % of the batch";
    for (const double z : noise) square += z * z / 100;
    // Five standard errors, and one unit that rounding may put on either side of the clip norm.
    EXPECT_NEAR(std::sqrt(square), plan.noise().count_stddev(), 15 * 5 / std::sqrt(200.0) + 1);
  }
}

TEST(LatticeStep, TheClipNormMovesTheStepAndNotTheBound) {
  const Clipping clipping = clipping_with(4), moved = clipping.at(2 * kClipNorm);
  EXPECT_TRUE(moved.lattice().squared_bound == clipping.lattice().squared_bound);
  EXPECT_EQ(moved.lattice().step, 2 * clipping.lattice().step);
  EXPECT_EQ(moved.l2_sensitivity(), 2 * kClipNorm);
}

TEST(LatticeStep, EveryFormOfGradientsIsMadeInBlocksOfSamples) {
  for (const auto& cases : {linear_cases(), embedding_cases(), norm_cases(), matmul_cases(), recurrent_cases(), convolution_cases()})
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      at::manual_seed(11);
      const Subject subject = c.make();
      const Parameters parameters(subject.named());
      Tape tape(Exec::cpu(1), parameters);
      const at::Tensor input = c.input(5);
      const GradSamples grads = tape.per_sample(5, [&] { return wavy_loss(subject.forward(input)); });
      const at::NoGradGuard no_grad;
      for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 5}, {0, 2}, {3, 2}, {4, 1}}) {
        const GradSamples rows = stored_rows(parameters, grads, first, count);
        ASSERT_EQ(rows.batch, count);
        for (int64_t k = 0; k < parameters.size(); ++k) {
          const at::Tensor whole = gradient_rows(grads, k, parameters.tensor(k).numel()).narrow(0, first, count);
          const at::Tensor& block = rows.parameters[static_cast<size_t>(k)].stored.front();
          ASSERT_EQ(block.sizes(), whole.sizes());
          EXPECT_TRUE(block.is_contiguous());
          EXPECT_LE((block - whole).norm().item<double>(), 1e-5 * whole.norm().item<double>()) << parameters.name(k);
        }
      }
    }
}

}  // namespace
}  // namespace sotto

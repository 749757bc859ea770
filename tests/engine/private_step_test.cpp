#include "engine/private_step.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "kernels/noise/noise.h"
#include "tests/engine/private_fixture.h"

namespace sotto {
namespace {

const RunKey kKey = RunKey::from_seed(5);

// The clipped sum itself. A standard deviation of 0 is refused: this is the least that float32 has, and it is taken off.
std::vector<at::Tensor> sum_of(const Parameters& parameters, const Clipping& clipping, const std::vector<int64_t>& units,
                               const Rows& rows, StepDiagnostics* diagnostics = nullptr) {
  StepTrace trace;
  ClippedSum sum = clip(Exec::cpu(2), parameters, clipping, {units}, [&](const auto& some) { return rows.of(some); }, trace);
  if (diagnostics) *diagnostics = trace.diagnostics();
  auto values = opened(add_noise(std::move(sum), PlanPartsForTests::noise(1e-44, kKey), 0), parameters);
  for (at::Tensor& part : values) part.masked_fill_(part.abs().lt(1e-42), 0.0);
  return values;
}

Clipping clipping_with(int64_t microbatch) {
  return PrivacyPlan(private_config(), microbatch, kKey, {.parameter_elements = 221}).clipping();
}

TEST(PrivateStep, NoUnitIsLongerThanTheClipNormWhateverItsGradient) {
  const Parameters parameters = two_parameters();
  at::manual_seed(1);
  std::vector<at::Tensor> w, b;
  for (const double scale : {0.0, 1e-45, 1e-38, 1e-20, 1e-6, 0.03, 0.0336, 1.0, 1e6, 1e18, 1e30, 3e37}) {
    const Rows rows = random_rows(1, scale);
    w.push_back(rows.by_parameter[0]), b.push_back(rows.by_parameter[1]);
  }
  w.push_back(at::zeros({1, 210}).index_fill_(1, at::tensor({17}, at::kLong), 3.4028234e38)), b.push_back(at::zeros({1, 11}));
  w.push_back(at::full({1, 210}, 3.4e38)), b.push_back(at::full({1, 11}, -3.4e38));
  w.push_back(at::full({1, 210}, NAN)), b.push_back(at::zeros({1, 11}));
  w.push_back(at::zeros({1, 210})), b.push_back(at::full({1, 11}, -INFINITY));
  const Rows rows = {{at::cat(w), at::cat(b)}};
  for (int64_t unit = 0; unit < rows.by_parameter[0].size(0); ++unit) {
    StepDiagnostics diagnostics;
    const auto sum = sum_of(parameters, clipping_with(1), {unit}, rows, &diagnostics);
    double square = 0;
    for (const at::Tensor& part : sum) square += part.square().sum().item<double>();
    EXPECT_LE(std::sqrt(square), kClipNorm) << "unit " << unit;
    const bool finite = rows.by_parameter[0][unit].isfinite().all().item<bool>() && rows.by_parameter[1][unit].isfinite().all().item<bool>();
    EXPECT_EQ(diagnostics.non_finite, finite ? 0 : 1) << "unit " << unit;
    if (!finite) { EXPECT_EQ(square, 0) << "a non-finite unit counts as exactly 0"; }
    const double norm = std::hypot(rows.by_parameter[0][unit].to(at::kDouble).norm().item<double>(),
                                   rows.by_parameter[1][unit].to(at::kDouble).norm().item<double>());
    if (finite && norm > 1e-25 && norm < 0.99 * kClipNorm) { EXPECT_NEAR(std::sqrt(square), norm, 1e-12 * norm) << "a short unit is kept as it is"; }
    if (finite && norm > kClipNorm) { EXPECT_GE(std::sqrt(square), kClipNorm * (1 - 1e-5)) << "clipped further than needed"; }
  }
}

TEST(PrivateStep, RemovingAnyUnitMovesTheSumByAtMostTheSensitivity) {
  const Parameters parameters = two_parameters();
  at::manual_seed(2);
  Rows rows = random_rows(60, 1.0);
  for (at::Tensor& part : rows.by_parameter) part.mul_(at::exp(at::randn({60, 1}).mul_(4)));
  for (const int64_t microbatch : {1, 16, 60}) {
    const Clipping clipping = clipping_with(microbatch);
    EXPECT_GT(clipping.l2_sensitivity(), kClipNorm);
    EXPECT_LT(clipping.l2_sensitivity(), kClipNorm * 1.01) << "rounding should not cost noise";
    const auto all = first_units(60);
    const auto with = sum_of(parameters, clipping, all, rows);
    for (int64_t unit = 0; unit < 60; unit += 7) {
      auto others = all;
      others.erase(others.begin() + unit);
      EXPECT_LE(distance(with, sum_of(parameters, clipping, others, rows)), clipping.l2_sensitivity()) << "unit " << unit;
    }
  }
}

TEST(PrivateStep, MicroBatchesChangeNothingButRounding) {
  const Parameters parameters = two_parameters();
  at::manual_seed(3);
  const Rows rows = random_rows(50, 0.1);
  const auto whole = sum_of(parameters, clipping_with(50), first_units(50), rows);
  for (const int64_t microbatch : {1, 3, 7, 49}) {
    const Clipping clipping = clipping_with(microbatch);
    const auto cut = sum_of(parameters, clipping, first_units(50), rows);
    EXPECT_LE(distance(whole, cut), (clipping.rounding() + clipping_with(50).rounding()) * kClipNorm) << microbatch;
    EXPECT_EQ(distance(cut, sum_of(parameters, clipping, first_units(50), rows)), 0) << "the same cut, the same bits";
  }
}

Clipping clipping_by(const ClippingConfig& how) {
  PrivacyConfig config = private_config();
  config.clipping = how;
  return PrivacyPlan(config, 7, kKey, {.parameter_elements = 221}).clipping();
}

double norm_of(const std::vector<at::Tensor>& parts) {
  double square = 0;
  for (const at::Tensor& part : parts) square += part.square().sum().item<double>();
  return std::sqrt(square);
}

TEST(PrivateStep, EachLayerIsClippedToItsShareOfTheClipNorm) {
  const Parameters parameters({{"a.weight", at::zeros({30, 7}).set_requires_grad(true)}, {"b.bias", at::zeros({11}).set_requires_grad(true)}});
  const Clipping clipping = clipping_by({.groups = "layer"});
  EXPECT_EQ(clipping_groups(parameters, clipping), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(clipping_groups(Parameters({{"a.weight", parameters.tensor(0)}, {"a.bias", parameters.tensor(1)}}), clipping),
            (std::vector<int64_t>{0, 0}));
  at::manual_seed(4);
  Rows rows = random_rows(40, 1.0);
  rows.by_parameter[1].mul_(1e-3);  // only the first layer is too long
  rows.by_parameter[0].select(0, 5).fill_(NAN);
  const double share = kClipNorm / std::sqrt(2.0);
  for (const int64_t unit : {0, 17, 39}) {
    const auto sum = sum_of(parameters, clipping, {unit}, rows);
    EXPECT_LE(norm_of({sum[0]}), share);
    EXPECT_GE(norm_of({sum[0]}), share * (1 - 1e-5));
    EXPECT_NEAR(norm_of({sum[1]}), rows.by_parameter[1][unit].norm().item<double>(), 1e-9) << "kept as it is";
  }
  EXPECT_EQ(norm_of(sum_of(parameters, clipping, {5}, rows)), 0) << "not finite in one layer: dropped from all";
  const Rows long_rows = random_rows(40, 10.0);
  for (const int64_t unit : {0, 17, 39}) EXPECT_LE(norm_of(sum_of(parameters, clipping, {unit}, long_rows)), kClipNorm);
}

TEST(PrivateStep, NormalisedGradientsAreNeverLongerThanTheClipNorm) {
  const Parameters parameters = two_parameters();
  at::manual_seed(5);
  for (const char* rule : {"automatic", "psac"})
    for (const char* groups : {"all", "layer"})
      for (const double scale : {0.0, 1e-30, 1e-6, 0.03, 1.0, 1e6, 1e30}) {
        const Rows rows = random_rows(3, scale);
        EXPECT_LE(norm_of(sum_of(parameters, clipping_by({.rule = rule, .groups = groups}), {1}, rows)), kClipNorm) << rule << scale;
      }
  const Rows rows = random_rows(3, 0.05);
  const double norm = std::hypot(rows.by_parameter[0][1].norm().item<double>(), rows.by_parameter[1][1].norm().item<double>());
  EXPECT_NEAR(norm_of(sum_of(parameters, clipping_by({.rule = "automatic"}), {1}, rows)), norm * kClipNorm / (norm + kClipNorm), 1e-6);
}

TEST(PrivateStep, AnAdaptiveClipNormFindsItsQuantile) {
  const Parameters parameters = two_parameters();
  const Rows rows = rows_of_known_norms();
  for (const double quantile : {0.2, 0.5, 0.9}) {
    const PrivacyPlan plan(following(quantile, private_config()), 64, kKey, {.parameter_elements = 221});
    PrivateStep step(Exec::cpu(1), parameters, plan, 300, [](uint64_t) {}, [&](const auto& units) { return rows.of(units); });
    double mean = 0;
    for (uint64_t number = 0; number < 100; ++number) {
      step.next(number);
      if (number >= 60) mean += step.clip_norm() / 40;
    }
    EXPECT_NEAR(mean, 3 * quantile, 0.15) << "the count's noise is 5 % of the batch";
  }
}

TEST(PrivateStep, AnAdaptiveClipNormIsItsFormulaOfANoisedCount) {
  const Parameters parameters = two_parameters();
  const Rows rows = {{at::zeros({300, 210}), at::zeros({300, 11})}};
  const PrivacyConfig config = following(0.5, private_config());
  const PrivacyPlan plan(config, 64, kKey, {.parameter_elements = 221});
  EXPECT_EQ(plan.noise().count_stddev(), 15) << "a twentieth of the expected batch";
  // Half of the declared units are there: all within the clip norm, then none; the divisor stays the declared number.
  for (const double value : {0.0, 1e6}) {
    rows.by_parameter[0].select(1, 0).fill_(value);
    PrivateStep step(Exec::cpu(1), parameters, plan, 150, [](uint64_t) {}, [&](const auto& units) { return rows.of(units); });
    double expected = kClipNorm;
    std::vector<double> noise;
    for (uint64_t number = 0; number < 60; ++number) {
      const double before = step.clip_norm();
      step.next(number);
      const double share = 0.5 - std::log(step.clip_norm() / before) / config.clipping.learning_rate;
      noise.push_back((share - 0.5) * 300 - (value == 0.0 ? 75 : -75));
      expected *= std::exp(-config.clipping.learning_rate * (share - 0.5));
    }
    EXPECT_NEAR(step.clip_norm(), expected, 1e-9 * expected);
    double square = 0;
    for (const double z : noise) square += z * z / 60;
    EXPECT_NEAR(std::sqrt(square), 15, 15 * 5 / std::sqrt(120.0)) << "five standard errors";
  }
  PrivateStep again(Exec::cpu(1), parameters, plan, 150, [](uint64_t) {}, [&](const auto& units) { return rows.of(units); });
  again.set_clip_norm(0.25);
  EXPECT_EQ(again.clip_norm(), 0.25);
}

TEST(PrivateStep, RefusesABatchThatIsNotASetOfUnits) {
  const Parameters parameters = two_parameters();
  const Rows rows = random_rows(9, 1);
  const auto kind = [&](const std::vector<int64_t>& units, const Clipping& clipping) {
    try {
      sum_of(parameters, clipping, units, rows);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::io;  // accepted
  };
  EXPECT_EQ(kind({1, 4, 8}, clipping_with(2)), ErrorKind::io);
  EXPECT_EQ(kind({1, 4, 4}, clipping_with(2)), ErrorKind::invalid_argument) << "a unit twice counts twice";
  EXPECT_EQ(kind({4, 1, 4}, clipping_with(1)), ErrorKind::invalid_argument);
  EXPECT_EQ(kind({1, 4, 8}, PlanPartsForTests::capped(clipping_with(2), 2)), ErrorKind::internal);
  // A source that brings more rows than units would let a unit count more than once.
  StepTrace trace;
  EXPECT_THROW(clip(Exec::cpu(1), parameters, clipping_with(9), {{1, 4}},
                    [&](const auto&) { return rows.of({1, 4, 5}); }, trace), Error);
}

TEST(PrivateStep, ChargesBeforeItReadsAndReadsNothingWhenRefused) {
  const Parameters parameters = two_parameters();
  const Rows rows = random_rows(400, 1);
  std::vector<std::string> order;
  const PrivacyPlan plan(private_config(), 32, kKey, {.parameter_elements = 221});
  PrivateStep step(Exec::cpu(1), parameters, plan, 400,
                   [&](uint64_t number) {
                     order.push_back(cat("charge ", number));
                     if (number == 1) throw Error(ErrorKind::budget_exhausted, "spent");
                   },
                   [&](const std::vector<int64_t>& units) {
                     order.push_back("read");
                     EXPECT_LE(units.size(), 32u);
                     return rows.of(units);
                   });
  step.next(0);
  ASSERT_GE(order.size(), 3u);
  EXPECT_EQ(order[0], "charge 0");
  EXPECT_EQ(std::count(order.begin(), order.end(), "charge 0"), 1);
  EXPECT_EQ(step.diagnostics().batch_size, plan.sampler(400).draw(0).size()) << "not the sampling that was charged";
  order.clear();
  EXPECT_THROW(step.next(1), Error);
  EXPECT_EQ(order, std::vector<std::string>{"charge 1"});
}

TEST(PrivateStep, NoiseIsTheStreamOfItsStepScaledByTheSensitivity) {
  const Parameters parameters = two_parameters();
  const PrivacyPlan plan(private_config(), 8, kKey, {.parameter_elements = 221});
  // Nobody to draw from: every batch is empty. The step is charged and is noise alone.
  int charges = 0;
  PrivateStep step(Exec::cpu(1), parameters, plan, 0, [&](uint64_t) { ++charges; },
                   [&](const auto&) -> GradSamples { throw Error(ErrorKind::internal, "read an empty batch"); });
  for (const uint64_t number : {uint64_t{0}, uint64_t{7}}) {
    const double divisor = plan.expected_batch();
    EXPECT_EQ(divisor, 100.0) << "sample_rate · public_size, whatever was drawn";
    const auto got = opened(step.next(number), parameters, divisor);
    for (int64_t k = 0; k < parameters.size(); ++k) {
      at::Tensor noise = at::zeros({parameters.tensor(k).numel()});
      kernels::fill_gaussian(Exec::cpu(1), kKey.stream(Purpose::noise, number, static_cast<uint32_t>(k)),
                             1.5 * plan.clipping().l2_sensitivity(), {noise.mutable_data_ptr<float>(), noise.numel()});
      const at::Tensor expected = noise.to(at::kDouble) / divisor;
      // The division and the subtraction round once each.
      EXPECT_LE((got[static_cast<size_t>(k)].view({-1}) - expected).abs().max().item<double>(),
                0x1p-22 * expected.abs().max().item<double>());
    }
  }
  EXPECT_EQ(charges, 2);
  EXPECT_EQ(step.diagnostics().batch_size, 0);
}

TEST(PrivateStep, NoiseHasItsVarianceAndIsUncorrelatedAcrossStepsAndTensors) {
  constexpr int64_t elements = 20000, steps = 60;
  const Parameters parameters({{"a", at::zeros({elements}).set_requires_grad(true)}, {"b", at::zeros({elements}).set_requires_grad(true)}});
  const PrivacyPlan plan(private_config(), 8, kKey, {.parameter_elements = 2 * elements});
  PrivateStep step(Exec::cpu(2), parameters, plan, 0, [](uint64_t) {}, [](const auto&) { return GradSamples{}; });
  std::vector<at::Tensor> draws;
  for (uint64_t number = 0; number < steps; ++number)
    for (const at::Tensor& values : opened(step.next(number), parameters)) draws.push_back(values);
  const at::Tensor z = at::stack(draws) / (1.5 * plan.clipping().l2_sensitivity());  // [steps · tensors, elements]
  const double count = 2.0 * steps * elements;
  // 2.4 million values: the variance's standard error is 0.09 %, the mean's 0.00065.
  EXPECT_NEAR(z.square().mean().item<double>(), 1, 0.005);
  EXPECT_NEAR(z.mean().item<double>(), 0, 5 / std::sqrt(count));
  EXPECT_NEAR(z.pow(4).mean().item<double>(), 3, 5 * std::sqrt(96 / count)) << "not a normal's fourth moment";
  const at::Tensor correlation = at::mm(z, z.t()) / static_cast<double>(elements);
  const at::Tensor others = correlation - at::diag(correlation.diag());
  // 7,140 pairs, each with standard error 1/√elements: six of them are passed once in 10^5.
  EXPECT_LE(others.abs().max().item<double>(), 6 / std::sqrt(double(elements)));
}

}  // namespace
}  // namespace sotto

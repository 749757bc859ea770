#include "engine/planner/planner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "engine/planner/calibration.h"
#include "engine/planner/model_plan.h"
#include "engine/tape/microbatch.h"

namespace sotto {
namespace {

ProductShape product_of(std::mt19937_64& random, int64_t parameter) {
  const auto up_to = [&](int64_t most) { return 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(most)); };
  const bool convolution = random() % 2 == 0;
  return {.parameter = parameter,
          .length = 1 + up_to(200),
          .rows = up_to(300),
          .columns = up_to(300),
          .convolution = convolution,
          .image = convolution ? 16 * up_to(250) : 0,
          .in_channels = convolution ? 16 : 0,
          .taps = convolution ? up_to(9) : 1,
          .has_factors = !convolution || random() % 2 == 0,
          .has_box_filter = convolution && random() % 2 == 0};
}

std::vector<ProductShape> products_of(std::mt19937_64& random, int64_t count) {
  std::vector<ProductShape> made;
  for (int64_t k = 0; k < count; ++k) made.push_back(product_of(random, k));
  return made;
}

// Times that follow the model's own amounts, at prices of a plausible machine.
double priced(const ProductShape& s, int64_t batch, NormMethod method) {
  const auto b = static_cast<double>(batch), length = static_cast<double>(s.length);
  const auto whole = [](int64_t n) { return static_cast<double>((n + 15) / 16 * 16); };
  const double p = whole(s.rows), d = whole(s.columns);
  double ns = 3000 + 40 * b + 0.1 * b * length * (p + d) + 0.02 * b * length * p * d + 0.3 * b * static_cast<double>(s.image);
  if (method == NormMethod::ghost) ns += 0.01 * b * length * length * (p + d) + 1.5 * b * length * length + p * d;
  if (method == NormMethod::direct) ns += 0.03 * b * length * p * d;
  if (method == NormMethod::stored) ns += 0.5 * b * p * d;
  if (method == NormMethod::stored_bf16) ns += 0.4 * b * p * d;
  if (method == NormMethod::box_filter) {
    const double places = static_cast<double>(s.image) / static_cast<double>(s.in_channels);
    ns += 0.012 * b * (length * length * p + places * places * static_cast<double>(s.in_channels)) +
          0.2 * b * length * length * static_cast<double>(s.taps) + 0.2 * b * p * d;
  }
  if (method == NormMethod::recomputed) ns += 0.02 * b * length * p * d + 0.4 * b * p * d;
  return 1e-6 * ns;
}

TimeModel model_of(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<MethodTime> measured;
  for (int i = 0; i < 200; ++i) {
    const ProductShape product = product_of(random, 0);
    const int64_t batch = i % 2 == 0 ? 4 : 40;
    for (const NormMethod method : product.methods()) measured.push_back({product, batch, method, priced(product, batch, method)});
  }
  return TimeModel::fit(measured);
}

TEST(TimeModel, FindsThePricesBehindItsMeasurements) {
  const TimeModel model = model_of(1);
  std::mt19937_64 random(2);
  for (int i = 0; i < 100; ++i) {
    const ProductShape product = product_of(random, 0);
    for (const NormMethod method : product.methods())
      for (const int64_t batch : {2, 64}) {
        const double truth = priced(product, batch, method);
        // Amounts that go together in the measurements (p d and B p d at one batch) share their price.
        EXPECT_NEAR(model.milliseconds(product, batch, method), truth, 0.1 * truth) << to_string(method);
      }
  }
}

TEST(TimeModel, ComesBackFromItsFileAndRefusesAnotherOne) {
  const TimeModel model = model_of(3);
  std::mt19937_64 random(4);
  const ProductShape product = product_of(random, 0);
  const TimeModel again = TimeModel::from_json(nlohmann::json::parse(model.to_json().dump()));
  EXPECT_EQ(again.milliseconds(product, 7, NormMethod::stored), model.milliseconds(product, 7, NormMethod::stored));
  for (const char* text : {"{}", "[[1]]", "null", "[[[1,2,3,4,5,6,7,8,9]]]"})
    EXPECT_THROW(TimeModel::from_json(nlohmann::json::parse(text)), Error) << text;
  nlohmann::json negative = model.to_json();
  negative[0][0][0] = -1;
  EXPECT_THROW(TimeModel::from_json(negative), Error);
}

struct Best {
  double milliseconds = INFINITY;
  int64_t least_bytes = INT64_MAX;
};

void try_every_choice(const std::vector<ProductShape>& products, size_t i, double ms, int64_t bytes, int64_t limit,
                      const TimeModel& model, Best& best) {
  if (i == products.size()) {
    best.least_bytes = std::min(best.least_bytes, bytes);
    if (bytes <= limit) best.milliseconds = std::min(best.milliseconds, ms);
    return;
  }
  for (const NormMethod method : products[i].methods())
    try_every_choice(products, i + 1, ms + model.milliseconds(products[i], 8, method),
                     bytes + products[i].kept_bytes(method, 8), limit, model, best);
}

TEST(Planner, IsAsFastAsTheBestOfAllChoicesThatFit) {
  const TimeModel model = model_of(5);
  std::mt19937_64 random(6);
  int constrained = 0;
  for (int round = 0; round < 60; ++round) {
    const std::vector<ProductShape> products = products_of(random, 6);
    Best least;
    try_every_choice(products, 0, 0, 0, 0, model, least);
    const NormPlan free = plan_norms(products, 8, int64_t{1} << 40, model);
    for (const double share : {0.1, 0.5, 0.9}) {
      const auto limit = least.least_bytes + static_cast<int64_t>(share * static_cast<double>(free.bytes() - least.least_bytes));
      Best best;
      try_every_choice(products, 0, 0, 0, limit, model, best);
      const NormPlan plan = plan_norms(products, 8, limit, model);
      constrained += plan.methods() != free.methods();
      if (!plan.fits) continue;  // six products rounded up by a step of memory each
      EXPECT_LE(plan.bytes(), limit);
      EXPECT_GE(plan.milliseconds(), best.milliseconds * (1 - 1e-12));
      // What fits in whole steps of a 4096th is nearly all that fits.
      EXPECT_LE(plan.milliseconds(), best.milliseconds * 1.05);
    }
  }
  EXPECT_GT(constrained, 60) << "the limits must have cut something off";
}

// What is rounded is less exact: never for speed alone, though it be the fastest.
TEST(Planner, RoundsGradientsOnlyWhereMemoryIsShortAndSaysSo) {
  const TimeModel model = model_of(9);
  std::mt19937_64 random(10);
  int rounded = 0;
  for (int round = 0; round < 40; ++round) {
    const std::vector<ProductShape> products = products_of(random, 4);
    const NormPlan free = plan_norms(products, 8, int64_t{1} << 40, model);
    EXPECT_FALSE(free.may_round);
    EXPECT_EQ(free.loss_of_accuracy(), "");
    for (const PlannedProduct& product : free.products)
      for (const PlannedProduct::Way& way : product.ways) {
        EXPECT_NE(product.way().method, NormMethod::stored_bf16);
        if (way.method != NormMethod::stored_bf16) {
          EXPECT_LE(product.way().milliseconds, way.milliseconds);
        }
      }
    const NormPlan tight = plan_norms(products, 8, free.bytes() / 2, model);
    EXPECT_TRUE(tight.may_round);
    const bool uses = std::ranges::any_of(
        tight.products, [](const PlannedProduct& product) { return product.way().method == NormMethod::stored_bf16; });
    EXPECT_EQ(tight.loss_of_accuracy().find("bfloat16") != std::string::npos, uses);
    rounded += uses;
  }
  EXPECT_GT(rounded, 10) << "half the memory must be worth something";
}

// LibTorch's own gradient of a batch would be rounded so, too.
TEST(Planner, OfFactorsInBfloat16GradientsInItAreAWayLikeAnyOther) {
  const TimeModel model = model_of(9);
  std::mt19937_64 random(10);
  int chosen = 0;
  for (int round = 0; round < 40; ++round) {
    std::vector<ProductShape> products = products_of(random, 4);
    for (ProductShape& product : products) product.factors = at::kBFloat16;
    const NormPlan free = plan_norms(products, 8, int64_t{1} << 40, model);
    EXPECT_EQ(free.loss_of_accuracy(), "");
    for (const PlannedProduct& product : free.products) {
      chosen += product.way().method == NormMethod::stored_bf16;
      for (const PlannedProduct::Way& way : product.ways) EXPECT_LE(product.way().milliseconds, way.milliseconds);
    }
  }
  EXPECT_GT(chosen, 10);
}

TEST(Planner, SaysWhenNothingFitsAndKeepsTheLeast) {
  const TimeModel model = model_of(7);
  std::mt19937_64 random(8);
  const std::vector<ProductShape> products = products_of(random, 3);
  Best least;
  try_every_choice(products, 0, 0, 0, 0, model, least);
  for (const int64_t limit : {int64_t{0}, least.least_bytes - 1}) {
    const NormPlan plan = plan_norms(products, 8, limit, model);
    EXPECT_FALSE(plan.fits);
    EXPECT_EQ(plan.bytes(), least.least_bytes);
  }
  EXPECT_TRUE(plan_norms({}, 8, 0, model).fits);
}

TEST(Planner, MethodsComeBackByName) {
  const Parameters parameters({{"a.weight", at::zeros({2, 2}).set_requires_grad(true)},
                               {"b.weight", at::zeros({2, 2}).set_requires_grad(true)}});
  const NormMethods methods = {{0, NormMethod::direct}, {1, NormMethod::recomputed}};
  EXPECT_EQ(norm_methods_from(to_json(methods, parameters), parameters), methods);
  for (const char* text : {R"({"c.weight": "stored"})", R"({"a.weight": "fastest"})", R"({"a.weight": 3})", "[]", "null"})
    EXPECT_THROW(norm_methods_from(nlohmann::json::parse(text), parameters), Error) << text;
}

// Of the small models: random numbers in, a plan for each of their products out, and a limit that bites.
TEST(Planner, PlansTheBenchModelsWithinTheirMemory) {
  const std::string folder = testing::TempDir() + "planner_test_cache";
  setenv("XDG_CACHE_HOME", folder.c_str(), 1);
  PlanOptions options = {.model = "mnist_cnn", .batch = 16, .threads = 1};
  const ModelPlan wide = plan_model(options);
  ASSERT_EQ(wide.plan.products.size(), 2u);  // two convolutions; the linear layers meet one row a sample
  EXPECT_TRUE(wide.plan.fits);
  EXPECT_TRUE(std::filesystem::exists(time_model_path()));
  std::vector<std::string> said;
  options.memory_limit = wide.plan.bytes() / 3;
  const ModelPlan tight = plan_model(options, [&](const std::string& line) { said.push_back(line); });
  EXPECT_TRUE(said.empty()) << "the machine's times are known by now";
  EXPECT_TRUE(!tight.plan.fits || tight.plan.bytes() <= options.memory_limit);
  EXPECT_THROW(plan_model({.model = "no_such_model"}), Error);
  EXPECT_THROW(plan_model({.model = "tests/fixtures/traced_mlp.pt"}), Error) << "a script needs its input's shape";
}

TEST(Microbatch, ShrinksUntilTheLeastThatIsKeptFits) {
  at::manual_seed(1);
  const at::Tensor weight = at::randn({64, 48}).set_requires_grad(true);
  const Parameters parameters({{"weight", weight}});
  Tape tape(Exec::cpu(1), parameters);
  const auto pass = [&](int64_t length) {
    tape.per_sample(2, [&] { return at::linear(at::randn({2, length, 48}), weight).flatten(1).sum(1); });
  };
  pass(10);
  const ModelStructure structure = {.parameter_elements = weight.numel(), .rows_per_unit = 10};
  EXPECT_EQ(chosen_microbatch(structure, tape), 8192 / 10);
  const int64_t a_sample = 4 * 10 * (64 + 48);  // its factors, which are less than its gradient
  tape.set_storage_limit(100 * a_sample);
  EXPECT_EQ(chosen_microbatch(structure, tape), 819 / 16) << "the first half of halves that fits";
  EXPECT_EQ(chosen_microbatch(structure, tape, 4), 819 / 32);
  tape.set_storage_limit(1);
  EXPECT_EQ(chosen_microbatch(structure, tape), 1);
  tape.set_storage_limit(0);
  EXPECT_EQ(chosen_microbatch(structure, tape), 819) << "no limit on what must be kept, nothing to store";
}

}  // namespace
}  // namespace sotto

#include "engine/tape/by_unit.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/dataset.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

// As in tape_test.cpp.
constexpr double kFloatPasses = 2e-5, kWorstRaise = 1e-3;

const std::vector<int64_t> kStarts = {0, 2, 3, 7};  // units of 2, 1 and 4 records
constexpr int64_t kRecords = 7, kUnits = 3;

// What the tape made of the records, as units.
Measured measure_units(const Subject& subject, const Parameters& parameters, const at::Tensor& input, int64_t limit) {
  Tape tape(Exec::cpu(1), parameters);
  tape.set_storage_limit(limit);
  return measure(parameters, by_unit(tape.per_sample(kRecords, [&] { return wavy_loss(subject.forward(input)); }), kStarts, parameters));
}

TEST(ByUnit, AUnitsGradientIsTheSumOfItsRecords) {
  at::set_num_threads(1);
  for (const auto& cases : {linear_cases(), embedding_cases(), norm_cases(), script_cases(), convolution_cases(), recurrent_cases(),
                            elementwise_cases(), matmul_cases(), group_norm_cases(), embedding_bag_cases()})
    for (const Case& c : cases)
      for (const int64_t limit : {int64_t{1} << 30, int64_t{0}}) {
        SCOPED_TRACE(c.name);
        at::manual_seed(12);
        const Subject subject = c.make();
        const Parameters parameters(subject.named());
        const at::Tensor input = c.input(kRecords);
        const at::Tensor records = one_at_a_time(c, subject, input);
        const Measured got = measure_units(subject, parameters, input, limit);
        for (int64_t u = 0; u < kUnits; ++u) {
          const int64_t first = kStarts[static_cast<size_t>(u)], count = kStarts[static_cast<size_t>(u) + 1] - first;
          const at::Tensor truth = records.narrow(0, first, count).sum(0);
          // What the records' own lengths make of the rounding: they may cancel.
          const double norm = truth.norm().item<double>(), mass = records.narrow(0, first, count).norm(2, 1).sum().item<double>();
          const double bound = std::sqrt(got.squared[u].item<double>());
          EXPECT_GE(bound, norm - kFloatPasses * mass) << "unit " << u;
          EXPECT_LE(bound, norm * (1 + kWorstRaise) + kWorstRaise * mass) << "unit " << u;
          EXPECT_LE((got.gradients[u] - truth).norm().item<double>(), kFloatPasses * mass) << "unit " << u;
          EXPECT_LE(got.gradients[u].norm().item<double>(), bound * (1 + 3 * 0x1p-24)) << "unit " << u;
        }
      }
}

TEST(ByUnit, ABadRecordDropsItsUnitAndLeavesTheOthersTheirBits) {
  at::set_num_threads(1);
  for (const auto& cases : {linear_cases(), convolution_cases(), recurrent_cases(), group_norm_cases()})
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      at::manual_seed(13);
      const Subject subject = c.make();
      const Parameters parameters(subject.named());
      const at::Tensor input = c.input(kRecords);
      if (!input.is_floating_point()) continue;
      at::Tensor poisoned = input.clone();
      poisoned.select(0, 5).fill_(NAN);  // of unit 2
      const Measured clean = measure_units(subject, parameters, input, int64_t{1} << 30),
                     got = measure_units(subject, parameters, poisoned, int64_t{1} << 30);
      EXPECT_FALSE(std::isfinite(got.squared[2].item<double>()));
      for (const int64_t u : {0, 1}) {
        EXPECT_EQ(got.squared[u].item<double>(), clean.squared[u].item<double>());
        EXPECT_TRUE(got.gradients[u].equal(clean.gradients[u]));
      }
    }
}

TEST(ByUnit, RefusesUnitsThatDoNotCoverTheRecords) {
  const Parameters parameters({{"w", at::zeros({2}).set_requires_grad(true)}});
  const auto records = [] {
    GradSamples made;
    made.batch = 3;
    made.parameters.resize(1);
    made.parameters[0].stored.push_back(at::ones({3, 2}));
    made.losses = {1, 2, 3};
    return made;
  };
  EXPECT_THROW(by_unit(records(), {0, 2}, parameters), Error);
  EXPECT_THROW(by_unit(records(), {0, 2, 2, 3}, parameters), Error) << "a unit without a record";
  EXPECT_THROW(by_unit(records(), {0}, parameters), Error);
  const GradSamples units = by_unit(records(), {0, 1, 3}, parameters);
  EXPECT_EQ(units.losses, (std::vector<double>{1, 5}));
  EXPECT_TRUE(units.parameters[0].stored[0].equal(at::tensor({1.0f, 1.0f, 2.0f, 2.0f}).view({2, 2})));
}

TEST(Dataset, KeepsAUnitsRecordsTogetherAndRefusesOnesThatAreApart) {
  data::EncodedTable table;
  table.rows = 4;
  table.columns = 1;
  table.features = {1, 2, 3, 4};
  table.labels = {0, 1, 0, 1};
  table.units = {"a", "a", "b", "c"};
  const Dataset dataset = to_dataset(table);
  EXPECT_EQ(dataset.unit_count(), 3);
  EXPECT_EQ(dataset.starts, (std::vector<int64_t>{0, 2, 3, 4}));
  table.units = {"a", "b", "a", "c"};
  EXPECT_THROW(to_dataset(table), Error);
  table.units.clear();
  EXPECT_EQ(to_dataset(table).unit_count(), 4);
}

}  // namespace
}  // namespace sotto

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

// One unit of many records must not make all others as long.
TEST(ByUnit, FactorsAndIdsStayAsLargeAsTheRecordsAre) {
  const at::Tensor weight = at::randn({4, 3}).set_requires_grad(true), table = at::randn({9, 3}).set_requires_grad(true);
  const Parameters parameters({{"weight", weight}, {"table", table}});
  Tape tape(Exec::cpu(1), parameters);
  tape.set_storage_limit(0);
  const at::Tensor ids = at::randint(9, {40, 5});
  const GradSamples records =
      tape.per_sample(40, [&] { return at::linear(at::embedding(table, ids), weight).sin().flatten(1).sum(1); });
  std::vector<int64_t> starts = {0, 31};  // 31 records, and nine units of one
  for (int64_t record = 32; record <= 40; ++record) starts.push_back(record);
  const GradSamples units = by_unit(records, starts, parameters);
  const FactoredUse &linear = units.parameters[0].factored.at(0), &from = records.parameters[0].factored.at(0);
  EXPECT_EQ(linear.gradient.const_data_ptr(), from.gradient.const_data_ptr());
  EXPECT_EQ(linear.activation.const_data_ptr(), from.activation.const_data_ptr());
  const IndexedUse& embedding = units.parameters[1].indexed.at(0);
  EXPECT_EQ(embedding.gradient.const_data_ptr(), records.parameters[1].indexed.at(0).gradient.const_data_ptr());
  EXPECT_EQ(embedding.ids.numel(), 200);
  EXPECT_EQ(linear.length, 31 * 5);
  // Rows made one by one for the lattice are those of the units, too.
  for (int64_t k = 0; k < 2; ++k) {
    const int64_t elements = parameters.tensor(k).numel();
    const at::Tensor rows = gradient_rows(records, k, elements), got = gradient_rows(units, k, elements);
    EXPECT_TRUE(got[0].allclose(rows.narrow(0, 0, 31).sum(0), 1e-4, 1e-5));
    EXPECT_TRUE(got.narrow(0, 1, 9).allclose(rows.narrow(0, 31, 9), 1e-4, 1e-6));
    EXPECT_TRUE(gradient_rows(units, k, elements, 4, 3).allclose(rows.narrow(0, 34, 3), 1e-4, 1e-6));
  }
}

TEST(ByUnit, RefusesUnitsThatDoNotCoverTheRecords) {
  const Parameters parameters({{"w", at::zeros({2}).set_requires_grad(true)}});
  const auto records = [] {
    GradSamples made;
    made.batch = 3;
    made.parameters.resize(1);
    made.parameters[0].stored.push_back(at::ones({3, 2}));
    made.losses = at::tensor({1.0, 2.0, 3.0});
    return made;
  };
  EXPECT_THROW(by_unit(records(), {0, 2}, parameters), Error);
  EXPECT_THROW(by_unit(records(), {0, 2, 2, 3}, parameters), Error) << "a unit without a record";
  EXPECT_THROW(by_unit(records(), {0}, parameters), Error);
  const GradSamples units = by_unit(records(), {0, 1, 3}, parameters);
  EXPECT_TRUE(units.losses.equal(at::tensor({1.0, 5.0})));
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

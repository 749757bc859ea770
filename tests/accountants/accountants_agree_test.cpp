#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "accountants/accountant.h"
#include "accountants/event/parts.h"
#include "base/error.h"

// Accountants that share no formula must agree: whatever one proves from below, none may claim to bound from above.
namespace sotto::accountants {
namespace {

struct Plan {
  std::string name;
  NeighbouringRelation relation;
  std::vector<EventUses> parts;
};

std::vector<Plan> plans() {
  constexpr auto kAdd = NeighbouringRelation::add_remove, kZero = NeighbouringRelation::zero_out,
                 kReplace = NeighbouringRelation::replace_one;
  std::vector<Plan> all;
  for (const int64_t count : {1, 30}) {
    const std::string times = "_x" + std::to_string(count);
    all.push_back({"gaussian" + times, kAdd, {{{Gaussian{3}}, count}}});
    all.push_back({"gaussian_replaced" + times, kReplace, {{{Gaussian{3}}, count}}});
    all.push_back({"sampled" + times, kAdd, {{{PoissonSampledGaussian{0.8, 0.05}}, count}}});
    all.push_back({"laplace" + times, kAdd, {{{Laplace{2}}, count}}});
    all.push_back({"laplace_replaced" + times, kReplace, {{{Laplace{5}}, count}}});
    all.push_back({"discrete_laplace" + times, kAdd, {{{DiscreteLaplace{4, 3}}, count}}});
    all.push_back({"discrete_gaussian" + times, kAdd, {{{DiscreteGaussian{5, 2}}, count}}});
    all.push_back({"discrete_gaussian_replaced" + times, kReplace, {{{DiscreteGaussian{5, 1}}, count}}});
    all.push_back({"skellam" + times, kAdd, {{{Skellam{40, 2, 2}}, count}}});
    all.push_back({"skellam_of_many" + times, kReplace, {{{Skellam{400, 6, 3}}, count}}});
    all.push_back({"staircase" + times, kAdd, {{{Staircase{0.4, 0.3}}, count}}});
    all.push_back({"staircase_replaced" + times, kReplace, {{{Staircase{0.2, 0.7}}, count}}});
    all.push_back({"sampled_staircase" + times, kAdd, {{{PoissonSampled{0.1, Event{Staircase{1, 0.3}}}}, count}}});
    all.push_back({"sampled_skellam" + times, kAdd, {{{PoissonSampled{0.1, Event{Skellam{4, 1, 1}}}}, count}}});
    all.push_back({"truncated" + times, kZero, {{{TruncatedLaplace{4, 100}}, count}}});
    all.push_back({"batch" + times, kReplace, {{{FixedSizeSampled{5, 100, false, Event{Gaussian{2}}}}, count}}});
    all.push_back({"batch_zeroed" + times, kZero, {{{FixedSizeSampled{5, 100, false, Event{Laplace{3}}}}, count}}});
    all.push_back(
        {"batch_of_integers" + times, kReplace, {{{FixedSizeSampled{5, 100, false, Event{Skellam{9, 1, 1}}}}, count}}});
    all.push_back(
        {"drawn_with_replacement" + times, kAdd, {{{FixedSizeSampled{5, 100, true, Event{Gaussian{2}}}}, count}}});
    all.push_back({"allocated" + times, kAdd, {{{RandomAllocation{20, 1, Event{Gaussian{2}}}}, count}}});
    all.push_back({"shuffled" + times, kReplace, {{{Shuffled{500, Event{RandomizedResponse{1, 4}}}}, count}}});
    all.push_back({"response" + times, kReplace, {{{RandomizedResponse{0.4, 2}}, count}}});
    all.push_back({"response_of_five" + times, kReplace, {{{RandomizedResponse{0.4, 5}}, count}}});
    all.push_back({"pure" + times, kAdd, {{{EpsilonDelta{0.2, 0}}, count}}});
    all.push_back({"approximate" + times, kAdd, {{{EpsilonDelta{0.2, 1e-9}}, count}}});
    all.push_back({"exponential" + times, kAdd, {{{ExponentialMechanism{0.5, false}}, count}}});
    all.push_back({"noisy_max" + times, kAdd, {{{ReportNoisyMax{6, true}}, count}}});
    all.push_back({"sparse_vector" + times, kAdd, {{{SparseVector{10, 20, 1, false}}, count}}});
    all.push_back({"tree" + times, kZero, {{{TreeAggregation{12, 500}}, count}}});
    all.push_back({"banded" + times, kAdd, {{{BandedMatrixFactorisation{2, 0.01, 4, 40}}, count}}});
    all.push_back({"sampled_laplace" + times, kAdd, {{{PoissonSampled{0.1, Event{Laplace{1.5}}}}, count}}});
    all.push_back({"sampled_integers" + times, kAdd, {{{PoissonSampled{0.1, Event{DiscreteGaussian{2, 1}}}}, count}}});
    all.push_back(
        {"mixed" + times, kAdd, {{{Gaussian{4}}, count}, {{Laplace{8}}, count}, {{EpsilonDelta{0.1, 0}}, 2}}});
    all.push_back({"nested" + times,
                   kAdd,
                   {{{Composed{{Event{Gaussian{9}}, Event{SelfComposed{Event{Laplace{9}}, 3}}}}}, count}}});
  }
  return all;
}

class AccountantsAgree : public testing::TestWithParam<Plan> {
 protected:
  // All that know every part, composed.
  std::vector<std::unique_ptr<Accountant>> composed() const {
    std::vector<std::unique_ptr<Accountant>> found;
    for (const auto& name : fixed_schedule_accountant_names()) {
      auto accountant = make_fixed_schedule_accountant(name, GetParam().relation);
      const auto& parts = GetParam().parts;
      if (!std::all_of(parts.begin(), parts.end(),
                       [&](const EventUses& part) { return accountant->supports(part.event); }))
        continue;
      for (const EventUses& part : parts) accountant->compose(part.event, part.count);
      found.push_back(std::move(accountant));
    }
    return found;
  }
};

TEST_P(AccountantsAgree, NoUpperBoundIsBelowAnyLowerBound) {
  const auto all = composed();
  ASSERT_FALSE(all.empty()) << "no accountant knows it";
  const auto agree = [&](const std::string& where, const auto& answer) {
    std::vector<Bracket> brackets;
    for (const auto& one : all) brackets.push_back(answer(*one));
    for (size_t i = 0; i < all.size(); ++i)
      for (size_t j = 0; j < all.size(); ++j)
        EXPECT_LE(brackets[i].lower, brackets[j].upper * (1 + 1e-12))
            << all[i]->name() << " and " << all[j]->name() << where;
  };
  for (const double delta : {1e-12, 1e-6, 1e-2})
    agree(" at delta " + std::to_string(delta), [&](const Accountant& one) { return one.epsilon_bracket(delta); });
  for (const double epsilon : {0.1, 1.0, 4.0})
    agree(" at epsilon " + std::to_string(epsilon), [&](const Accountant& one) { return one.delta_bracket(epsilon); });
}

TEST_P(AccountantsAgree, MoreStepsAndASmallerDeltaNeverCostLess) {
  for (const auto& one : composed()) {
    const double before = one->epsilon(1e-6);
    EXPECT_LE(one->epsilon(1e-4), before * (1 + 1e-3)) << one->name();
    const auto more = one->clone();
    for (const EventUses& part : GetParam().parts) more->compose(part.event, part.count);
    EXPECT_GE(more->epsilon(1e-6), before * (1 - 1e-3)) << one->name();
  }
}

TEST_P(AccountantsAgree, EpsilonOfDeltaOfEpsilonComesBack) {
  for (const auto& one : composed()) {
    const double epsilon = one->epsilon(1e-6);
    if (!std::isfinite(epsilon) || epsilon == 0) continue;
    // Each bracket is 1e-3 wide in what was asked; δ moves by up to some 20 times as much as ε does.
    const double delta = one->delta(epsilon);
    EXPECT_LE(delta, 1e-6 * 1.1) << one->name();
    if (delta > 0 && delta < 1) {
      EXPECT_LE(one->epsilon(delta), epsilon * 1.003) << one->name();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, AccountantsAgree, testing::ValuesIn(plans()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace sotto::accountants

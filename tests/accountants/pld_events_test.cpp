#include <gtest/gtest.h>

#include <cmath>

#include "accountants/pld/pld_accountant.h"
#include "base/error.h"
#include "tests/accountants/reference.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;
constexpr auto kReplaceOne = NeighbouringRelation::replace_one;
constexpr auto kZeroOut = NeighbouringRelation::zero_out;

PldAccountant composed(const std::vector<std::pair<Event, int64_t>>& uses, NeighbouringRelation relation = kAddRemove,
                       double gap = 1e-3) {
  PldAccountant accountant(relation, {.relative_gap = gap});
  for (const auto& [event, count] : uses) accountant.compose(event, count);
  return accountant;
}

// What a reference case composes.
PldAccountant from_case(const nlohmann::json& each) {
  const auto& p = each["params"];
  const std::string family = each["family"];
  const int64_t steps = p.value("steps", int64_t{1});
  if (family == "laplace") {
    const Event laplace{Laplace{p["b"].get<double>() / p["sensitivity"].get<double>()}};
    const double rate = p["q"];
    return composed({{rate == 1 ? laplace : poisson_sampled(rate, laplace), steps}});
  }
  if (family == "discrete_laplace")
    return composed({{{DiscreteLaplace{1 / p["a"].get<double>(), p["sensitivity"]}}, steps}});
  if (family == "discrete_gaussian") return composed({{{DiscreteGaussian{p["sigma"], p["sensitivity"]}}, steps}});
  if (family == "randomized_response") return composed({{{RandomizedResponse{p["eps0"], p["k"]}}, steps}}, kReplaceOne);
  if (family == "kfold_eps_delta") return composed({{{EpsilonDelta{p["eps0"], p["delta0"]}}, p["k"]}});
  if (family == "replace_one") return composed({{{PoissonSampledGaussian{p["sigma"], p["q"]}}, steps}}, kReplaceOne);
  if (family == "tree_aggregation") {
    const Event tree{TreeAggregation{p["sigma"], p["steps_per_epoch"]}};
    return composed({{{SelfComposed{tree, p.value("epochs", int64_t{1})}}, 1}}, kZeroOut);
  }
  if (family == "bandmf_amplified")
    return composed({{{BandedMatrixFactorisation{p["sigma"], p["q_per_step"], p["bands"], p["iterations"]}}, 1}});
  std::vector<std::pair<Event, int64_t>> parts;
  for (const auto& part : p["parts"]) {
    if (part[0] == "lap")
      parts.push_back({{Laplace{part[1]}}, part[2]});
    else
      parts.push_back({{PoissonSampledGaussian{part[1], part[2]}}, part[3]});
  }
  return composed(parts);
}

TEST(PldEvents, BracketsMeetTheReferencesFromBothSidesAndAreAsNarrowAsAsked) {
  int compared = 0;
  for (const char* family : {"laplace", "discrete_laplace", "discrete_gaussian", "randomized_response",
                             "kfold_eps_delta", "heterogeneous", "replace_one", "tree_aggregation", "bandmf_amplified"})
    for (const auto& each : reference_cases(family, "reference_events.json")) {
      const Bracket got = from_case(each).epsilon_bracket(each["params"]["delta"]);
      // The references are float64, good to about 1e-9.
      EXPECT_GE(got.upper, each["lower"].get<double>() * (1 - 1e-9)) << each;
      EXPECT_LE(got.lower, each["upper"].get<double>() * (1 + 1e-9)) << each;
      EXPECT_LE(got.lower, got.upper) << each;
      EXPECT_LE(got.upper - got.lower, 1e-3 * got.upper) << each << got.lower << " " << got.upper;
      ++compared;
    }
  EXPECT_EQ(compared, 32);
}

}  // namespace
}  // namespace sotto::accountants

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/pld/analytic_gaussian.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/pld/sampled_gaussian_law.h"
#include "accountants/pld/steering.h"
#include "base/error.h"
#include "tests/accountants/arb/margins.h"

namespace sotto::accountants {
namespace {

TEST(ArbSingleUse, AnalyticGaussianEnclosesBothDirections) {
  Margins margins("analytic Gaussian");
  struct Row {
    double mu, epsilon;
  };
  for (const auto& [mu, epsilon] :
       {Row{5, 0.3}, Row{5, 40}, Row{5, 70}, Row{0.001, 1e-6}, Row{0.001, 0.004}, Row{0.001, 0.011}, Row{1, 0},
        Row{1, 1}, Row{1, 12}, Row{0.5, 5.5}, Row{0.4999, 5.5}, Row{0.51, 0.02}, Row{20, 500}, Row{33, 500},
        Row{25, 590}, Row{1e-6, 1e-7}, Row{8.1, 0}, Row{31.6, 420}})
    // 1e-10 of δ either way.
    margins.contains(cat("mu ", mu, " epsilon ", epsilon), gaussian_delta(mu, epsilon), true_gaussian(mu)(epsilon),
                     3e-10);
  for (const auto& [mu, delta] :
       {Row{5, 1e-30}, Row{5, 1e-5}, Row{5, 0.7}, Row{0.001, 1e-30}, Row{0.001, 1e-5}, Row{1, 1e-30}, Row{1, 1e-10},
        Row{20, 1e-30}, Row{25, 1e-12}, Row{0.1, 0.01}, Row{0.5, 1e-200}})
    // An error of 1e-10 in log δ; near ε = 0 the slope of δ makes it more of ε.
    margins.contains_epsilon(cat("mu ", mu, " delta ", delta), gaussian_epsilon(mu, delta), delta, true_gaussian(mu),
                             1e-8);
}

constexpr double kGap = 1.01e-3;  // what PldLimits ask for

struct Row {
  Event event;
  NeighbouringRelation relation;
  Truth truth;
  double epsilon, delta;
  double gap = kGap;
};

void hold(const std::string& what, const std::vector<Row>& rows) {
  Margins margins(what);
  for (const Row& row : rows) {
    PldAccountant accountant(row.relation);
    accountant.compose(row.event);
    const std::string name = to_json(row.event);
    margins.contains(cat(name, " epsilon ", row.epsilon), accountant.delta_bracket(row.epsilon), row.truth(row.epsilon),
                     row.gap);
    margins.contains_epsilon(cat(name, " delta ", row.delta), accountant.epsilon_bracket(row.delta), row.delta,
                             row.truth, row.gap);
  }
}

TEST(ArbSingleUse, SampledGaussianEnclosesTheWorseDirection) {
  std::vector<Row> rows;
  struct Case {
    double sigma, q, epsilon, delta, gap = kGap;
  };
  for (const auto& [sigma, q, epsilon, delta, gap] :
       {Case{1, 0.01, 1, 1e-5}, Case{1, 0.01, 3, 1e-30}, Case{0.2, 0.01, 20, 1e-5}, Case{0.2, 1e-4, 50, 1e-12},
        Case{1, 0.5, 0.5, 1e-10}, Case{2, 0.1, 0.1, 1e-20}, Case{50, 0.3, 0.002, 1e-10}, Case{0.6, 1e-3, 2, 1e-15},
        Case{0.6, 1e-6, 2, 1e-15, kAny}, Case{1, 0.99, 2, 1e-8}})
    rows.push_back({{PoissonSampledGaussian{sigma, q}},
                    NeighbouringRelation::add_remove,
                    sampled(true_gaussian(1 / Ball(sigma)), q),
                    epsilon,
                    delta,
                    gap});
  hold("sampled Gaussian", rows);
}

TEST(ArbSingleUse, SampledGaussianEnclosesEachDirection) {
  Margins margins("sampled Gaussian, each direction");
  struct Case {
    double sigma, q, delta;
  };
  for (const auto& [sigma, q, delta] :
       {Case{1, 0.1, 1e-3}, Case{1, 0.5, 1e-3}, Case{2, 0.1, 1e-3}, Case{0.5, 0.9, 0.01}})
    for (const Direction direction : {Direction::remove, Direction::add}) {
      const SampledGaussianLaw law(sigma, q);
      const Steering steering = steer_to_delta({{law.sketch(direction, 1e-30), 1}}, delta, 40);
      const ComposedLaw composed({{law.on_grid(direction, 1e-3, 1e-30, 1 << 16), 1}}, steering.tilt, 1 << 17);
      const Truth whole = true_gaussian(1 / Ball(sigma));
      const bool remove = direction == Direction::remove;
      margins.contains_epsilon(cat("sigma ", sigma, " q ", q, remove ? " remove" : " add"),
                               {composed.epsilon_below(delta), composed.epsilon_above(delta)}, delta,
                               remove ? sampled_remove(whole, q) : sampled_add(whole, q), 0.01);
    }
}

TEST(ArbSingleUse, LaplaceAndDiscreteNoiseAndTheirSamplesAreEnclosed) {
  using enum NeighbouringRelation;
  hold("Laplace and discrete noise",
       {{{Laplace{1}}, add_remove, true_laplace(1), 0.3, 0.01},
        {{Laplace{0.05}}, add_remove, true_laplace(0.05), 19, 1e-4},
        {{Laplace{300}}, add_remove, true_laplace(300), 1e-4, 1e-4},
        {{Laplace{2}}, replace_one, true_laplace(1), 0.5, 0.1},
        {{PoissonSampled{0.1, Event{Laplace{0.5}}}}, add_remove, sampled(true_laplace(0.5), 0.1), 0.2, 0.01},
        {{DiscreteLaplace{2, 3}}, add_remove, true_discrete_laplace(2, 3), 0.7, 0.05},
        {{DiscreteLaplace{20, 1}}, add_remove, true_discrete_laplace(20, 1), 0.01, 0.005},
        {{PoissonSampled{0.01, Event{DiscreteLaplace{0.5, 1}}}},
         add_remove,
         sampled(true_discrete_laplace(0.5, 1), 0.01),
         0.02,
         1e-3},
        {{DiscreteGaussian{3, 1}}, add_remove, true_discrete_gaussian(3, 1), 1, 1e-10},
        {{DiscreteGaussian{0.7, 2}}, add_remove, true_discrete_gaussian(0.7, 2), 5, 1e-15},
        {{DiscreteGaussian{10, 4}}, replace_one, true_discrete_gaussian(10, 8), 2, 1e-30},
        {{PoissonSampled{0.05, Event{DiscreteGaussian{2, 1}}}},
         add_remove,
         sampled(true_discrete_gaussian(2, 1), 0.05),
         0.1,
         1e-8}});
}

}  // namespace
}  // namespace sotto::accountants

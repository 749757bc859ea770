#include "tests/accountants/arb/composition.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "accountants/pld/pld_accountant.h"
#include "accountants/pld/sampled_gaussian_law.h"
#include "accountants/pld/steering.h"
#include "base/error.h"
#include "tests/accountants/arb/margins.h"

namespace sotto::accountants {
namespace {

struct Use {
  double sigma, q;
  int64_t count;
};

struct Row {
  std::vector<Use> uses;
  Direction direction;
  double step;
  double tail = 1e-40;  // of each law's outputs, at infinity
  size_t window = 1 << 18;
  double furthest = 1e-6;  // of bounds at the saddle point from their grid's own truth
};

constexpr auto kRemove = Direction::remove, kAdd = Direction::add;
constexpr double kDeltas[] = {1e-3, 1e-10, 1e-30};

const std::vector<Row>& compositions() {
  static const std::vector<Row> rows{
      {{{1, 0.01, 2}}, kRemove, 0.005},
      {{{1, 0.01, 40}}, kRemove, 0.01},
      {{{1, 0.1, 40}}, kAdd, 0.01},
      {{{2, 0.1, 100}}, kRemove, 0.01},
      {{{2, 0.1, 100}}, kAdd, 0.01},
      {{{0.5, 0.001, 16}}, kRemove, 0.01},
      {{{1, 1, 17}}, kRemove, 0.02},
      {{{5, 0.001, 1000}}, kRemove, 1e-4},
      {{{1, 0.1, 20}, {2, 0.2, 20}, {0.8, 1, 2}}, kRemove, 0.01},
      {{{1, 0.1, 20}, {2, 0.2, 20}, {0.8, 1, 2}}, kAdd, 0.01},
      // So coarse that the law below is gone and the tilt, made without the grid, is a poor one.
      {{{5, 0.001, 10000}}, kRemove, 0.002, 1e-40, 1 << 18, kAny},
      {{{5, 0.001, 10000}}, kAdd, 0.002, 1e-40, 1 << 18, kAny},
      // What is at infinity shows; the window cuts the sum off.
      {{{1, 0.01, 40}}, kRemove, 0.01, 1e-9, 1 << 18, kAny},
      {{{1, 0.05, 50}}, kRemove, 0.02, 1e-40, 1024, kAny},
  };
  return rows;
}

std::string name(const Row& row) {
  std::string text = row.direction == kRemove ? "remove" : "add";
  for (const Use& use : row.uses) text += cat(" sigma ", use.sigma, " q ", use.q, " x ", use.count);
  return cat(text, " step ", row.step, " tail ", row.tail, " window ", row.window);
}

void PrintTo(const Row& row, std::ostream* out) {
  *out << name(row);
}

// The masses and losses as they stand: what is left between the bounds is ComposedLaw's own rounding and truncation.
BracketedLaw exactly(const LossAtoms& above, const LossAtoms& below) {
  return {.above = above, .below = below};
}

struct Uses {
  std::vector<LawPart> as_made, above_twice;
  std::vector<SketchedUses> sketched;
};

Uses uses_of(const Row& row) {
  Uses found;
  for (const Use& use : row.uses) {
    const SampledGaussianLaw made(use.sigma, use.q);
    const BracketedLaw law = made.on_grid(row.direction, row.step, row.tail, 4000);
    found.as_made.push_back({exactly(law.above, law.below), use.count});
    found.above_twice.push_back({exactly(law.above, law.above), use.count});
    found.sketched.push_back({made.sketch(row.direction, row.tail), static_cast<double>(use.count)});
  }
  return found;
}

// Each tilt is asked at its own saddle point, where relative errors are some n · 1e-16, and far from it, where δ is
// all rounding and only the sign of the bounds' errors is held.
void hold(const Row& row, Margins& margins) {
  const Uses uses = uses_of(row);
  TrueComposition above(row.step), below(row.step);
  for (const LawPart& part : uses.as_made) {
    above.add(part.law.above, static_cast<uint64_t>(part.count));
    below.add(part.law.below, static_cast<uint64_t>(part.count));
  }
  for (const bool twice : {true, false}) {
    const std::vector<LawPart>& parts = twice ? uses.above_twice : uses.as_made;
    if (!all_bounded_below(parts)) continue;  // too coarse a grid for a law below
    const TrueComposition& truth_below = twice ? above : below;
    for (const double tilted_to : kDeltas) {
      const Steering steering = steer_to_delta(uses.sketched, tilted_to, 40);
      ASSERT_TRUE(steering.found) << name(row);
      const ComposedLaw composed(parts, steering.tilt, row.window);
      for (const double delta : kDeltas) {
        const std::string label = cat(name(row), twice ? " above" : "", " tilted to ", tilted_to, " delta ", delta);
        const double furthest = tilted_to == delta ? row.furthest : kAny;
        const double upper = composed.epsilon_above(delta), lower = composed.epsilon_below(delta);
        margins.add_case();
        if (std::isfinite(upper)) margins.is_above(label, delta, above.delta(upper), furthest);
        if (lower > 0) margins.is_below(label, delta, truth_below.delta(std::min(lower, 1e4)), furthest);
        if (tilted_to != delta) continue;
        const double epsilon = steering.epsilon;
        margins.add_case();
        margins.is_above(cat(label, " epsilon ", epsilon), composed.delta_above(epsilon), above.delta(epsilon),
                         furthest);
        margins.is_below(cat(label, " epsilon ", epsilon), composed.delta_below(epsilon), truth_below.delta(epsilon),
                         furthest);
      }
    }
  }
}

class ArbGrid : public testing::TestWithParam<Row> {};

TEST_P(ArbGrid, ComposedLawBoundsItsGridMultipliedOutInBalls) {
  Margins margins(name(GetParam()));
  hold(GetParam(), margins);
}

INSTANTIATE_TEST_SUITE_P(Compositions, ArbGrid, testing::ValuesIn(compositions()),
                         [](const auto& row) { return cat("Row", row.index); });

// The masses of randomised response on a grid of ε0: telling another category, one of the rest, the truth.
TEST(ArbComposition, RandomisedResponseCountsEveryUse) {
  Margins margins("randomised response");
  struct Case {
    double epsilon;
    int64_t categories, count;
    double delta, at;
  };
  for (const auto& [epsilon, categories, count, delta, at] :
       {Case{1, 2, 1, 0.1, 0.5}, Case{1, 2, 50, 1e-5, 30}, Case{0.1, 2, 1000, 1e-30, 10},
        Case{0.01, 2, 10000, 1e-10, 2}, Case{0.5, 5, 200, 1e-12, 20}, Case{3, 10, 20, 1e-6, 40},
        Case{0.001, 3, 20000, 1e-5, 0.1}}) {
    PldAccountant accountant(NeighbouringRelation::replace_one);
    accountant.compose({RandomizedResponse{epsilon, categories}}, count);
    const Ball all = exp(Ball(epsilon)) + static_cast<double>(categories - 1);
    TrueComposition truth{Ball(epsilon)};
    truth.add({1 / all, static_cast<double>(categories - 2) / all, exp(Ball(epsilon)) / all}, -Ball(epsilon),
              static_cast<uint64_t>(count));
    const std::string row = cat(epsilon, " of ", categories, " x ", count);
    margins.contains(cat(row, " epsilon ", at), accountant.delta_bracket(at), truth.delta(at), 2e-3);
    margins.contains_epsilon(
        cat(row, " delta ", delta), accountant.epsilon_bracket(delta), delta,
        [&](const Ball& x) { return truth.delta(x); }, 1.01e-3);
  }
}

// n Gaussians are one with √n / σ, here not told to the machinery of grids and transforms.
TEST(ArbComposition, GaussiansByTransformsEncloseTheirClosedForm) {
  Margins margins("Gaussians by transforms");
  struct Case {
    double sigma;
    int64_t count;
    double delta, widest = 1.01e-3;
  };
  for (const auto& [sigma, count, delta, widest] :
       {Case{1, 1, 1e-5}, Case{0.2, 1, 1e-30}, Case{1, 10, 1e-10}, Case{30, 1000, 1e-30}, Case{100, 10000, 1e-10},
        Case{1000, 1000000, 1e-5}, Case{10000, 100000000, 1e-12}}) {
    const std::vector<LawUses> uses{{std::make_shared<SampledGaussianLaw>(sigma, 1), count}};
    const Truth truth = true_gaussian(sqrt(Ball(static_cast<double>(count))) / sigma);
    const std::string row = cat("sigma ", sigma, " x ", count);
    const Bracket epsilon = epsilon_bracket(uses, delta, {});
    margins.contains_epsilon(cat(row, " delta ", delta), epsilon, delta, truth, widest);
    // δ moves by some tens of times what ε does.
    margins.contains(row, delta_bracket(uses, epsilon.upper, {}), truth(epsilon.upper), 40 * widest);
  }
}

}  // namespace
}  // namespace sotto::accountants

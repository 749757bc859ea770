#include "accountants/pld/cell_law.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace sotto::accountants {
namespace {

// δ(ε) straight from its definition, in long double.
long double delta_of(const LossCells& cells, long double epsilon) {
  long double sum = cells.p_at_infinity;
  for (size_t k = 0; k < cells.p.size(); ++k)
    if (cells.loss[k] > epsilon) sum += cells.p[k] * -std::expm1(epsilon - cells.loss[k]);
  return sum;
}

long double delta_of(const LossAtoms& atoms, long double epsilon) {
  long double sum = atoms.at_infinity;
  for (size_t k = 0; k < atoms.mass.size(); ++k)
    if (atoms.loss(k) > epsilon) sum += atoms.mass[k] * -std::expm1(epsilon - static_cast<long double>(atoms.loss(k)));
  return sum;
}

LossCells random_cells(std::mt19937_64& rng, int count, double width) {
  std::uniform_real_distribution<double> loss(-width, width), mass(-9, 0);
  LossCells cells;
  for (int k = 0; k < count; ++k) cells.loss.push_back(loss(rng));
  std::sort(cells.loss.begin(), cells.loss.end());
  double sum = 0;
  for (int k = 0; k < count; ++k) {
    cells.p.push_back(std::exp(mass(rng)));
    sum += cells.p.back();
  }
  for (int k = 0; k < count; ++k) {
    cells.p[static_cast<size_t>(k)] /= sum;
    cells.q.push_back(cells.p[static_cast<size_t>(k)] * std::exp(-cells.loss[static_cast<size_t>(k)]));
  }
  return cells;
}

TEST(CellLaw, AtomsAboveAndBelowBracketDeltaEverywhere) {
  std::mt19937_64 rng(11);
  std::uniform_real_distribution<double> shift(0, 1);
  for (const int count : {1, 2, 3, 10, 300})
    for (const double width : {0.01, 1.0, 20.0})
      for (const double step : {0.001, 0.03, 0.7, 5.0})
        for (int repeat = 0; repeat < 5; ++repeat) {
          const LossCells cells = random_cells(rng, count, width);
          const double offset = shift(rng) * step;
          const LossAtoms above = atoms_above(cells, offset, step), below = atoms_below(cells, offset, step);
          ASSERT_FALSE(below.mass.empty());
          for (int i = -40; i <= 40; ++i) {
            const double epsilon = 1.1 * width * i / 40;
            // Positions between levels are rounded, which is as if losses were off by that much.
            const long double truth = delta_of(cells, epsilon), off = 32 * 0x1p-53L * (width + step);
            EXPECT_GE(delta_of(above, epsilon - off), truth * (1 - 1e-13L))
                << count << " " << width << " " << step << " " << i;
            EXPECT_LE(delta_of(below, epsilon + off), truth * (1 + 1e-13L))
                << count << " " << width << " " << step << " " << i;
          }
        }
}

TEST(CellLaw, LossesOnTheGridAreExactOnBothSides) {
  LossCells cells;
  cells.loss = {-0.6, 0, 0.3, 0.9};
  cells.p = {0.1, 0.2, 0.3, 0.4};
  for (const double step : {0.3, 0.1, 0.03})
    for (const LossAtoms& atoms : {atoms_above(cells, 0.9, step), atoms_below(cells, 0.9, step)}) {
      double sum = 0;
      for (const double mass : atoms.mass) sum += mass;
      EXPECT_NEAR(sum, 1, 1e-13);
      for (const double epsilon : {-1.0, -0.3, 0.1, 0.5, 0.8})
        EXPECT_NEAR(delta_of(atoms, epsilon), static_cast<double>(delta_of(cells, epsilon)), 1e-13) << step;
    }
}

TEST(CellLaw, DenseLossesAreOffByTheSquareOfTheStep) {
  std::mt19937_64 rng(5);
  LossCells cells = random_cells(rng, 2000, 3);
  double previous = 1;
  for (const double step : {0.4, 0.1, 0.025}) {
    const double gap =
        static_cast<double>(delta_of(atoms_above(cells, 0, step), 0.5) - delta_of(atoms_below(cells, 0, step), 0.5));
    EXPECT_GT(gap, 0);
    EXPECT_LT(gap, 0.25 * step * step) << step;  // split and merged cells, each h²/8 of the mass around at most
    EXPECT_LT(gap, previous / 4) << step;
    previous = gap;
  }
}

TEST(CellLaw, WhatIsNotCutUpCountsAboveAndNeverBelow) {
  LossCells cells;
  cells.loss = {0, 1};
  cells.p = {0.4, 0.3};
  cells.q = {0.4, 0.3 * std::exp(-1)};
  cells.p_at_infinity = 0.05;
  cells.q_at_infinity = 0.02;
  cells.below = {0.1, 0.2, -0.25};
  cells.above = {0.15, 0.01, 2};
  const LossAtoms above = atoms_above(cells, 0, 0.5);
  EXPECT_DOUBLE_EQ(above.at_infinity, 0.05 + 0.15);
  EXPECT_NEAR(delta_of(above, -0.1), 0.05 + 0.15 - 0.3 * std::expm1(-1.1) - (0.4 + 0.1) * std::expm1(-0.1), 1e-15)
      << "the lower tail at the level above its edge";
  EXPECT_NEAR(delta_of(atoms_below(cells, 0, 0.5), -0.1), -0.3 * std::expm1(-1.1) - 0.4 * std::expm1(-0.1), 1e-14);

  const LossCells reversed = cells.reversed();
  EXPECT_EQ(reversed.loss, (std::vector<double>{-1, 0}));
  EXPECT_EQ(reversed.p, (std::vector<double>{cells.q[1], 0.4}));
  EXPECT_EQ(reversed.p_at_infinity, 0.02);
  EXPECT_DOUBLE_EQ(atoms_above(reversed, 0, 0.5).at_infinity, 0.02 + 0.2);
}

}  // namespace
}  // namespace sotto::accountants

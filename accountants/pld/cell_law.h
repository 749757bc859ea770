#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "accountants/pld/loss_law.h"

namespace sotto::accountants {

// Outputs of a pair (P, Q), cut into cells by their loss log dP/dQ.
struct LossCells {
  // Outputs beyond the cells, not cut up: P and Q mass, rounded up, and the loss where they begin.
  struct Tail {
    double p = 0, q = 0, edge = 0;
  };
  std::vector<double> p, q, loss;  // of each cell, by ascending loss; loss = log(p/q)
  double p_at_infinity = 0;        // P mass where Q has none
  double q_at_infinity = 0;        // Q mass where P has none
  Tail below{}, above{};
  double mass_error = 0;  // relative, of p and of q
  double loss_error = 0;  // absolute; also how far a cell's outputs may reach beyond the levels around it

  LossCells reversed() const;  // of (Q, P)
};

// Above: connect the dots (Doroshenko et al. 2022): each cell goes to the levels around it so that its P and its Q mass
// stay what they are. Of the tails the lower one goes to its edge, the upper one to infinity.
LossAtoms atoms_above(const LossCells& cells, double offset, double step);

// Below: δ as a function of e^ε is convex and linear between cells. From the top down, each line is the tangent of δ
// through where the last line left the grid, so the chain of lines lies below δ, and its corners, the atoms, lie on
// levels. What rounding may add to an atom is taken off.
LossAtoms atoms_below(const LossCells& cells, double offset, double step);

// A law that can cut its outputs into cells.
class CellLaw : public LossLaw {
 public:
  BracketedLaw on_grid(Direction direction, double step, double tail, size_t most_levels) const override;
  std::optional<SplitLaw> split(Direction direction, const SplitGrid& grid) const override;
  LossSketch sketch(Direction direction, double tail) const override;
  double span(double tail) const override;

  // No cell reaches over a level anchor() + i · step, up to loss_error.
  virtual LossCells cells(double step, double tail) const = 0;
  virtual double anchor() const = 0;
  virtual std::pair<double, double> range(double tail) const = 0;  // lowest and highest loss
  // Of a pair that the mechanism attains, where the one above is only known to dominate it.
  virtual std::optional<LossCells> cells_below(double /*step*/, double /*tail*/) const { return std::nullopt; }
};

}  // namespace sotto::accountants

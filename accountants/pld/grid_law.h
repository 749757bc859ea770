#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sotto::accountants {

// Masses at the losses offset + (first + i) · step, and what is at +infinity.
struct LossAtoms {
  double offset = 0, step = 0;
  int64_t first = 0;
  std::vector<double> mass;
  double at_infinity = 0;
  double loss(size_t i) const { return offset + static_cast<double>(first + static_cast<int64_t>(i)) * step; }
};

// The privacy loss of one use, in one direction, from both sides: the hockey-stick divergence of `above` is at least
// the mechanism's at every ε, that of `below` at most. The masses are off by a factor within 1 ± mass_error, the losses
// by at most loss_error, a use.
struct BracketedLaw {
  LossAtoms above, below;
  double mass_error = 0, loss_error = 0;
};

// Puts the pair (P, Q) of one use onto the grid offset + i · step, i = 0 … levels − 1. With r = e^loss = dP/dQ and
// e_i = e^(offset + i·step), a piece is a set of outputs with losses between two levels, described by
// q = Q(piece), excess = ∫(r − e_low) dQ ≥ 0 and lack = ∫(e_high − r) dQ ≥ 0, each good to the relative error `error`.
//
// Above ("connect the dots", Doroshenko et al. 2022): a piece's mass goes to its two levels so that its P and its Q
// mass stay what they are. Below: the pieces next to a level are one output of a post-processed mechanism. Its loss is
// near the level, not at it, so it takes in a share of the neighbour on the right side, at the neighbour's own level,
// until it is. That is a random walk between outputs that stops: again post-processing, hence dominated. At the ends
// outputs of a higher loss count at the last level's.
class GridBuilder {
 public:
  // Masses are handed over in units of `unit`, a power of 2 so small that Q masses are doubles where P's still matter.
  GridBuilder(double offset, double step, size_t levels, double error, double unit = 1);

  double level(size_t i) const { return offset_ + static_cast<double>(i) * step_; }
  double exp_level(size_t i) const { return exp_[i]; }

  // A piece between the levels low and high.
  void add_above(size_t low, size_t high, double q, double excess, double lack);
  // A piece whose output becomes the level `node`, the nearest to it; distance = ∫(r − e_node) dQ, of one sign.
  void add_below(size_t node, double q, double distance);
  // Outputs of P mass at most p with losses up to this level, and of Q mass at most q with losses from the lowest or
  // the highest level on, of any losses at infinity. They count above only.
  void add_p_at(size_t i, double p) { above_[i] += p; }
  void add_q_at_lowest(double q) { q_at_lowest_ += q; }
  void add_q_at_highest(double q) { q_at_highest_ += q; }
  void add_p_at_infinity(double p) { p_at_infinity_ += p; }
  void add_q_at_infinity(double q) { q_at_infinity_ += q; }
  // How far the level's true loss may be from offset + i · step.
  void set_loss_errors(std::vector<double> errors) { loss_error_ = std::move(errors); }

  BracketedLaw remove() const;  // losses log P/Q under P
  BracketedLaw add() const;     // losses log Q/P under Q
  void settle();                // before remove() and add(): finds the masses below

 private:
  struct Span {
    size_t first, last;
    bool empty;
    double under = 0, over = 0;  // Q mass of the nodes below the first and above the last that is left
  };
  Span span_below(size_t from, size_t to, std::vector<double>& q, std::vector<double>& d, std::vector<double>& a) const;
  double largest_loss_error() const;

  double offset_, step_, error_, unit_, up_, down_;
  std::vector<double> exp_, above_, q_, d_, a_, loss_error_;
  double q_at_lowest_ = 0, q_at_highest_ = 0, p_at_infinity_ = 0, q_at_infinity_ = 0;
  std::vector<double> below_q_;
  size_t below_first_ = 0;
  double q_under_ = 0, q_over_ = 0;
};

}  // namespace sotto::accountants

#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "accountants/bracket.h"
#include "accountants/pld/half_spectrum.h"
#include "accountants/pld/solve.h"
#include "accountants/pld/steering.h"

namespace sotto::accountants {

// δ at one fixed ε of a sum of losses that grows, in one direction, from both sides. A kind is what one step may use:
// `uses` of laws, at most `most` times.
//
// Grid, tilt θ and window are chosen once, for where the sum meets (ε, δ) or ends. With y the masses of the tilted sum
// and Y their spectrum, a step multiplies Y by its kind's spectrum, and by Parseval
//
//   δ(ε) = e^{ΣK(θ) − θε} Σ_{x ≥ 0} y(ε + x) w(x) = e^{ΣK(θ) − θε} / N · Σ_k Re(Y[k] conj W[k]),
//
// w(x) = e^{−θx}(1 − e^{−x}), is a dot product with the fixed transform W of the weights: no transform a step. What is
// certain: Y is off by at most E an entry, E growing by an amount a use (half_spectrum.h, fft.h), so by Cauchy, Schwarz
// and Parseval the sum is off by at most E √(Σ w²). To raise the kinds' spectra to their counts anew would not bring E
// down: it is mostly their own transforms' rounding, times the counts. Above: plus the plain law's mass beyond the
// window. Below: minus the tilted mass that folds into it. Both by Chernoff's bounds at the counts as they are.
class RunningSum {
 public:
  struct Kind {
    std::vector<LawUses> uses;
    double most;
  };
  RunningSum(const std::vector<Kind>& kinds, Direction direction, double epsilon, double delta,
             const PldLimits& limits);

  void take(size_t kind, int64_t count);
  // From above at most 1, from below at least 0: that is what is said where no grid could be found, or rounding has
  // taken over.
  double delta_above() const;
  double delta_below() const;
  size_t size() const { return size_; }

 private:
  static constexpr int kAbove = 0, kBelow = 1;
  // Log moments of one use of a kind at θ and at the window's exponents, above and below, and what comes with them.
  struct Moments {
    std::array<double, 2> at{}, high{}, low{};
    double error = 0;                       // of a moment, and of the masses
    double disclosed = 0, undisclosed = 0;  // above: Σ of what is at infinity; below: Σ log(1 − what is)
    double offset = 0, offsets = 0;         // of the grid; Σ |offset|
    double loss_error = 0;                  // what losses may be off by
    void add(const Moments& other, double times);
  };
  struct Term {
    std::array<HalfSpectrum, 2> spectra;
    Moments moments;
    double entry_error = 0;
  };
  bool choose(const std::vector<Kind>& kinds, Direction direction, double delta, const PldLimits& limits);
  void build(const std::vector<Kind>& kinds, const std::vector<std::vector<BracketedLaw>>& laws);
  void weigh(class Fft& fft);
  Moments moments(const BracketedLaw& law) const;
  double slack() const;
  double position(int side) const;
  double scaled(int side) const;
  double log_scale(int side) const;

  double epsilon_, step_ = 0;
  Tilt tilt_{};
  size_t size_ = 0;  // 0: no grid
  int64_t top_ = 0;  // the window's highest level above ε; its lowest is top_ + 1 − size_
  std::vector<Term> terms_;
  std::array<HalfSpectrum, 2> sum_, weights_;  // weights_ for the level at or above ε, and for the one below it
  std::array<int64_t, 2> moved_{};  // levels that sum_ was moved by, so that ε is at the same place for ever
  ComplexArray turn_{0};            // the spectrum of a move by one level
  Moments taken_;
  double weight_sum_ = 0, squared_weights_ = 0, entry_error_ = 0;
  bool bounded_below_ = true;
};

}  // namespace sotto::accountants

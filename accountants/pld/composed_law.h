#pragma once
#include <cstdint>
#include <vector>

#include "accountants/pld/spectrum.h"

namespace sotto::accountants {

// Where to look: the exponent θ ≥ 0 by which laws are tilted, best the saddle point of e^{nK(θ)−θε}, and exponents
// low < θ < high for Chernoff's bounds of what is left outside the window, e^−tail of the tilted mass on either side.
// Poor choices widen the answers and never make them wrong;
// those beyond the range of doubles give no bound at all.
struct Tilt {
  double theta, low, high, tail;
};

// What the uses' bound below has lost beside its parts: tilted mass, a factor of every mass (its logarithm), and by how
// much a loss may be too high for it.
struct LeftOut {
  double tilted = 0, log_factor = 0, loss = 0;
};

// The sum of the losses of all uses, from both sides. With y the masses of the tilted sum, from one FFT a part,
//
//   δ(ε) = Σ_{ℓ>ε} y(ℓ) e^{nK(θ) − θℓ} (1 − e^{ε−ℓ}),
//
// summed from the top, where all terms are positive. Relative errors of δ are then some n · 1e-16 however small δ is.
// Both: plus what is at infinity; above, no more than Chernoff's bound at θ. Above: plus the plain law's mass beyond
// the window. Below: minus the tilted mass that the window's ends fold back into it. Both: the rounding of the
// transforms, bounded by fft_error.
class ComposedLaw {
 public:
  ComposedLaw(const std::vector<LawPart>& parts, const Tilt& tilt, size_t largest_size, const LeftOut& left_out = {});

  // ε with δ(ε) ≤ delta for all, and for no smaller one known; +infinity where there is no bound.
  double epsilon_above(double delta) const;
  double epsilon_below(double delta) const;
  double delta_above(double epsilon) const;
  double delta_below(double epsilon) const;
  size_t size() const { return masses_.size(); }

 private:
  struct Side {
    double log_scale = 0;  // nK(θ), widened
    double margin = 0;     // added to (above) or taken off (below) every scaled δ
    double extra = 0;      // added to every δ
    double infinite = 0;   // of it: probability of an infinite loss
  };
  // log moments of the sum of all uses at one exponent, above and below, and how far they may be off.
  struct Moments {
    double above, below, error;
  };
  static Moments moments(const std::vector<LawPart>& parts, double s);
  size_t place_window(const Moments& at, const Moments& high, const Moments& low, const Tilt& tilt, size_t largest);
  double window_top() const { return level(first_ + static_cast<int64_t>(masses_.size())) - slack_; }
  double window_bottom() const { return level(first_) + slack_; }
  double level(int64_t m) const { return base_ + static_cast<double>(m) * step_; }
  double crossing(bool above, double target) const;
  double at(bool above, double epsilon) const;
  template <class Visit>
  void descend(bool above, Visit visit) const;

  double base_ = 0, bases_ = 0, step_ = 0, theta_ = 0, slack_ = 0, recurrence_error_ = 0;
  int64_t first_ = 0;    // of the window
  ComplexArray masses_;  // imag: above, real: below, times the size
  Side above_, below_;
};

}  // namespace sotto::accountants

#pragma once
#include <complex>
#include <optional>
#include <string>
#include <vector>

#include "accountants/bracket.h"
#include "accountants/event_list.h"

namespace sotto::accountants {

// A second way to what Poisson-sampled Gaussian steps cost, of another kind than `pld` and sharing no code with it: a
// cross-check, which enforces nothing. It is no Accountant: no budget, run or calibration takes it.
//
// Gopi, Lee, Wutschitz 2021 (the argument of their Theorem 5): the privacy losses of the uses are rounded to a grid of
// step h and moved so that their means stay, whence the errors, each within a step of width h around 0, add up to at
// most t = h √(k/2 · log(2/η)) over k uses but for a probability η (Hoeffding). With δ̃ of the rounded sum, from one
// Fourier transform,
//
//   δ̃(ε + t) − lost ≤ δ(ε) ≤ δ̃(ε − t) + lost,
//
// lost = η + what is outside the circle + the transforms' rounding. The bracket is ± t in ε, absolutely: wide where ε
// is small or steps are many, and nothing is known of δ below some 1e-9.
class PrvCrossCheck {
 public:
  // Why it has no bound for these events, or nothing: it takes Gaussians, Poisson-sampled or not, under add_remove and
  // zero_out, with noise multipliers from 0.3 to 100, and 10^6 uses at most.
  static std::optional<std::string> refuses(const EventList& events, NeighbouringRelation relation);

  // Throws configuration with that reason.
  PrvCrossCheck(const EventList& events, NeighbouringRelation relation);

  Bracket delta(double epsilon) const;
  // {0, +infinity} at a delta that is below what is lost.
  Bracket epsilon(double delta) const;
  // t: how far apart in ε the bracket's ends are looked up from the rounded law.
  double error() const { return directions_.front().error; }

 private:
  struct Rounded {  // of the sum of losses, at (i − size/2) · h + shift
    std::vector<double> mass = {};
    double h = 0, shift = 0, error = 0, lost = 0;
    double delta(double epsilon) const;
  };
  struct Uses {
    double sigma, rate;
    int64_t count;
  };
  static Rounded rounded(const std::vector<Uses>& uses, bool remove);
  std::vector<Rounded> directions_;
};

}  // namespace sotto::accountants

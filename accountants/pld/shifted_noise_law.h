#pragma once
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "accountants/pld/cell_law.h"
#include "accountants/pld/skellam_masses.h"

namespace sotto::accountants {

enum class NoiseShape { gaussian, laplace, truncated_laplace, discrete_gaussian, discrete_laplace, skellam };

// Noise around a centre that P and Q draw with their own probabilities:
// P = Σ p_i · (centre_i + noise), Q = Σ q_i · (centre_i + noise).
struct Shift {
  double centre, p, q;
};

// Centres ascend, and so does p_i / q_i: then so does the loss over the outputs, for noise with a log-concave density.
// `scale` is σ, or b of e^(−|x|/b), or Skellam noise's variance. Discrete noise lives on the integers, and so do its
// centres. Truncated noise ends at |x| = bound; neighbouring centres are less than 2 · bound apart. Levels are counted
// from `anchor`, by default a loss that many outputs have where there is one. P mass of centres left out is lost.
//
// Such a pair is the worst among those whose centres are as far apart at most, in the same order. For log-concave noise
// f let G_s(a) be the most that f moved by s can give to a set to which f gives a (Neyman and Pearson): the threshold
// {x > t} attains G_s(a) for every s ≥ 0, and the least for every s ≤ 0. So Σ p_i f_i(A) − α Σ q_i f_i(A) is largest
// where A is a threshold and the centres that P favours are as high, those that Q favours as low as they may be. The
// same holds in many dimensions, for Gaussian noise with centres apart by their L2 distance, for independent noise of
// one of the other shapes by their L1 distance: to move one entry after the other composes G_s∘G_t, which is G_{s+t}.
class ShiftedNoiseLaw final : public CellLaw {
 public:
  static constexpr size_t kMostShifts = 64;
  ShiftedNoiseLaw(NoiseShape shape, double scale, std::vector<Shift> shifts, double bound = 0,
                  std::optional<double> anchor = {}, double p_left_out = 0);

  double most_loss(Direction direction) const override;
  double at_infinity() const override;
  double lattice() const override;
  LossCells cells(double step, double tail) const override;
  double anchor() const override { return anchor_; }
  std::pair<double, double> range(double tail) const override;

 private:
  struct Masses {
    double p, q, loss, loss_error;
  };
  bool discrete() const { return shape_ >= NoiseShape::discrete_gaussian; }
  bool truncated() const { return shape_ == NoiseShape::truncated_laplace; }
  bool unbounded() const {  // losses
    return shape_ == NoiseShape::gaussian || shape_ == NoiseShape::discrete_gaussian || shape_ == NoiseShape::skellam;
  }
  bool normal() const { return shape_ == NoiseShape::gaussian || shape_ == NoiseShape::discrete_gaussian; }
  double log_weight(double x, double centre) const;  // log density, but for a constant; −infinity outside
  double weight(double x, double centre) const { return std::exp(log_weight(x, centre)); }
  double mass(double from, double to, double centre) const;   // of outputs from ≤ x < to, no centre between
  double outside(double x, double centre, bool above) const;  // P(noise beyond x), rounded up
  Masses masses(const double* of_shift, double error) const;
  double log_ratio(double x) const;
  double slope(double x) const;
  double only(bool of_p) const;  // P mass of the outputs that Q has not, or the other way round, of truncated noise
  std::pair<double, double> ends(double tail) const;  // outputs to cut up: Q mass below and P mass above ≤ tail
  std::vector<double> cuts(double first, double last, double step) const;

  NoiseShape shape_;
  double scale_, bound_, p_left_out_;
  std::vector<Shift> shifts_;
  std::optional<SkellamMasses> skellam_;
  double at_zero_ = 1;  // the probability of the integer at the centre
  double anchor_ = 0;
};

}  // namespace sotto::accountants

#pragma once
#include <cstdint>
#include <vector>

#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

enum class NoiseShape { gaussian, laplace, discrete_gaussian, discrete_laplace };

// Noise around a centre that P and Q draw with their own probabilities:
// P = Σ p_i · (centre_i + noise), Q = Σ q_i · (centre_i + noise).
struct Shift {
  double centre, p, q;
};

// Centres ascend, and so does p_i / q_i: then so does the loss over the outputs, for noise with a log-concave density.
// `scale` is σ, or b of e^(−|x|/b). Discrete noise lives on the integers, and so do its centres.
class ShiftedNoiseLaw final : public CellLaw {
 public:
  static constexpr size_t kMostShifts = 64;
  ShiftedNoiseLaw(NoiseShape shape, double scale, std::vector<Shift> shifts);

  double most_loss(Direction direction) const override;
  double lattice() const override;

 private:
  struct Masses {
    double p, q, loss, loss_error;
  };
  LossCells cells(double step, double tail) const override;
  double anchor() const override { return anchor_; }
  std::pair<double, double> range(double tail) const override;

  bool discrete() const { return shape_ == NoiseShape::discrete_gaussian || shape_ == NoiseShape::discrete_laplace; }
  bool normal() const { return shape_ == NoiseShape::gaussian || shape_ == NoiseShape::discrete_gaussian; }
  double weight(double x, double centre) const;               // ∝ density, 1 at most
  double mass(double from, double to, double centre) const;   // of outputs from ≤ x < to, no centre between
  double outside(double x, double centre, bool above) const;  // P(noise beyond x), rounded up
  Masses masses(const double* of_shift, double error) const;
  double log_ratio(double x) const;
  double slope(double x) const;
  std::pair<double, double> ends(double tail) const;  // outputs to cut up: Q mass below and P mass above ≤ tail
  std::vector<double> cuts(double first, double last, double step) const;

  NoiseShape shape_;
  double scale_;
  std::vector<Shift> shifts_;
  double at_zero_ = 1;  // the probability of the integer at the centre
  double anchor_ = 0;
};

}  // namespace sotto::accountants

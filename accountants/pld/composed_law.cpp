#include "accountants/pld/composed_law.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/instruction_set.h"

namespace sotto::accountants {
namespace {

constexpr double kUnit = 0x1p-53;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr size_t kBlock = 64;

// weights[i] = mass[i] e^{s · loss(i)}; returns their sum. One exponential a block and a table within it.
SOTTO_VECTORISED double tilt_block(const double* __restrict mass, const double* __restrict power, double first,
                                   size_t count, double* __restrict weights) {
  double sum = 0;
  for (size_t j = 0; j < count; ++j) {
    weights[j] = mass[j] * first * power[j];
    sum += weights[j];
  }
  return sum;
}

template <class Take>
double tilted(const LossAtoms& atoms, double s, Take take) {
  double power[kBlock], weights[kBlock];
  for (size_t j = 0; j < kBlock; ++j) power[j] = std::exp(s * static_cast<double>(j) * atoms.step);
  long double sum = 0;
  for (size_t first = 0; first < atoms.mass.size(); first += kBlock) {
    const size_t count = std::min(kBlock, atoms.mass.size() - first);
    sum += tilt_block(atoms.mass.data() + first, power, std::exp(s * atoms.loss(first)), count, weights);
    take(first, count, weights);
  }
  return static_cast<double>(sum);
}

// log Σ mass e^{s · loss}, good to `cumulant_error`.
double cumulant(const LossAtoms& atoms, double s) {
  return std::log(tilted(atoms, s, [](size_t, size_t, const double*) {}));
}

double largest_loss(const LossAtoms& atoms) {
  return atoms.mass.empty() ? 0 : std::max(std::abs(atoms.loss(0)), std::abs(atoms.loss(atoms.mass.size() - 1)));
}

double cumulant_error(const LossAtoms& atoms, double s) {
  return kUnit * (100 + 6 * std::abs(s) * largest_loss(atoms));
}

// z ← z^power by squaring, with a relative error of at most 2 · power · √5 u. Below `smallest` (a square) it is 0.
SOTTO_VECTORISED void raise_block(double* __restrict re, double* __restrict im, size_t count, int64_t power,
                                  double smallest) {
  double base_re[kBlock], base_im[kBlock];
  for (size_t j = 0; j < count; ++j) {
    const bool gone = re[j] * re[j] + im[j] * im[j] < smallest;
    base_re[j] = gone ? 0 : re[j];
    base_im[j] = gone ? 0 : im[j];
    re[j] = 1;
    im[j] = 0;
  }
  for (int64_t rest = power; rest > 0; rest >>= 1) {
    if (rest & 1)
      for (size_t j = 0; j < count; ++j) {
        const double real = re[j] * base_re[j] - im[j] * base_im[j];
        im[j] = re[j] * base_im[j] + im[j] * base_re[j];
        re[j] = real;
      }
    if (rest > 1)
      for (size_t j = 0; j < count; ++j) {
        const double real = base_re[j] * base_re[j] - base_im[j] * base_im[j];
        base_im[j] = 2 * base_re[j] * base_im[j];
        base_re[j] = real;
      }
  }
}

struct Spectrum {
  std::vector<double> re, im;
};

// max over x ≥ 0 of e^{−θx}(1 − e^{−x})
double largest_weight(double theta) {
  return theta == 0 ? 1 : std::exp(theta * std::log(theta) - (1 + theta) * std::log1p(theta)) * (1 + 1e-12);
}

}  // namespace

ComposedLaw::ComposedLaw(const std::vector<LawPart>& parts, const Tilt& tilt, size_t largest_size)
    : theta_(tilt.theta), masses_(0) {
  require(!parts.empty() && tilt.theta >= 0 && tilt.low < tilt.theta && tilt.theta < tilt.high,
          "a composition needs parts and exponents low < theta < high, theta at least 0");
  step_ = parts.front().law.above.step;
  double bases = 0, uses = 0;
  for (const LawPart& part : parts) {
    require(part.law.above.step == step_, "all parts need the same step: ", part.law.above.step, " and ", step_);
    base_ += static_cast<double>(part.count) * part.law.above.offset;
    bases += std::abs(static_cast<double>(part.count) * part.law.above.offset);
    uses += static_cast<double>(part.count);
  }

  // log moments of the sums, and how far they may be off.
  const auto total = [&](bool above, double s) {
    double sum = 0;
    for (const LawPart& part : parts)
      sum += static_cast<double>(part.count) * cumulant(above ? part.law.above : part.law.below, s);
    return sum;
  };
  double unsure = 0, unsure_outside = 0;
  for (const LawPart& part : parts) {
    const double n = static_cast<double>(part.count);
    const double sum_error =
        std::max(cumulant_error(part.law.above, tilt.theta), cumulant_error(part.law.below, tilt.theta));
    unsure += n * (sum_error + part.law.mass_error);
    unsure_outside +=
        n * (std::max(cumulant_error(part.law.above, tilt.high), cumulant_error(part.law.above, tilt.low)) +
             part.law.mass_error);
    slack_ += n * part.law.loss_error;
  }
  const double k_above = total(true, tilt.theta), k_high = total(true, tilt.high), k_low = total(true, tilt.low);
  if (!std::isfinite(k_above) || !std::isfinite(k_high) || !std::isfinite(k_low)) {  // out of range: no bound
    above_.extra = below_.margin = kInfinity;
    return;
  }

  const double top = (k_high - k_above + tilt.tail) / (tilt.high - tilt.theta);
  const double bottom = -(k_low - k_above + tilt.tail) / (tilt.theta - tilt.low);
  const double wanted = std::max(4.0, (top - bottom) / step_ + 2);
  const size_t size =
      wanted < static_cast<double>(largest_size) ? std::bit_ceil(static_cast<size_t>(wanted)) : largest_size;
  const double centre =
      wanted < static_cast<double>(size) ? (top + bottom) / 2 : top - static_cast<double>(size) * step_ / 2;
  first_ = static_cast<int64_t>(std::floor((centre - base_) / step_)) - static_cast<int64_t>(size / 2);
  slack_ += 8 * kUnit * (bases + std::abs(level(first_)) + static_cast<double>(size) * step_);
  const double window_top = level(first_ + static_cast<int64_t>(size)) - slack_, window_bottom = level(first_) + slack_;

  const bool has_below =
      std::none_of(parts.begin(), parts.end(), [](const LawPart& p) { return p.law.below.mass.empty(); });
  const size_t half = size / 2;
  ComplexArray x(size), scratch(size);
  Spectrum product[2];
  for (size_t part = 0; part < parts.size(); ++part) {
    const BracketedLaw& law = parts[part].law;
    std::fill(x.real.begin(), x.real.end(), 0.0);
    std::fill(x.imag.begin(), x.imag.end(), 0.0);
    for (const bool above : {true, false}) {
      const LossAtoms& atoms = above ? law.above : law.below;
      if (!above && !has_below) continue;
      std::vector<double>& out = above ? x.real : x.imag;
      const double scale = std::exp(-cumulant(atoms, theta_));
      tilted(atoms, theta_, [&](size_t first, size_t count, const double* weights) {
        for (size_t j = 0; j < count; ++j)
          out[static_cast<size_t>(atoms.first + static_cast<int64_t>(first + j)) & (size - 1)] += weights[j] * scale;
      });
    }
    fft(x, scratch);
    const int64_t count = parts[part].count;
    const double smallest = std::exp(-1200.0 / static_cast<double>(count));
    double re[2][kBlock], im[2][kBlock];
    if (part == 0)
      for (Spectrum& each : product) each.re.resize(half + 1), each.im.resize(half + 1);
    for (size_t begin = 0; begin <= half; begin += kBlock) {
      const size_t width = std::min(kBlock, half + 1 - begin);
      for (size_t j = 0; j < width; ++j) {  // the transforms of the two real sequences that were packed into one
        const size_t k = begin + j, mirror = (size - k) & (size - 1);
        re[0][j] = (x.real[k] + x.real[mirror]) / 2;
        im[0][j] = (x.imag[k] - x.imag[mirror]) / 2;
        re[1][j] = (x.imag[k] + x.imag[mirror]) / 2;
        im[1][j] = (x.real[mirror] - x.real[k]) / 2;
      }
      for (int side = 0; side < 2; ++side) {
        raise_block(re[side], im[side], width, count, smallest);
        Spectrum& out = product[side];
        for (size_t j = 0; j < width; ++j) {
          const size_t k = begin + j;
          const double old_re = part == 0 ? 1 : out.re[k], old_im = part == 0 ? 0 : out.im[k];
          out.re[k] = old_re * re[side][j] - old_im * im[side][j];
          out.im[k] = old_re * im[side][j] + old_im * re[side][j];
        }
      }
    }
  }

  double mean[2] = {0, 0}, square[2] = {0, 0};
  for (size_t k = 0; k <= half; ++k) {
    const size_t mirror = (size - k) & (size - 1);
    const double ar = product[0].re[k], ai = product[0].im[k], br = product[1].re[k], bi = product[1].im[k];
    const double weight = k == 0 || k == half ? 1 : 2;
    const double a = ar * ar + ai * ai, b = br * br + bi * bi;
    mean[0] += weight * std::sqrt(a);
    mean[1] += weight * std::sqrt(b);
    square[0] += weight * a;
    square[1] += weight * b;
    // Real and imaginary part exchanged: the forward transform is then the inverse one.
    x.real[k] = ai + br;
    x.imag[k] = ar - bi;
    x.real[mirror] = br - ai;
    x.imag[mirror] = ar + bi;
  }
  fft(x, scratch);
  masses_ = std::move(x);

  // Σ over levels above of e^{−θx}(1 − e^{−x}), and of its square.
  const double decay = -std::expm1(-theta_ * step_), faster = -std::expm1(-(theta_ + 1) * step_);
  const double weights =
      std::min(static_cast<double>(size), std::exp(-theta_ * step_) * -std::expm1(-step_) / (decay * faster)) *
      (1 + 1e-9);
  const double squared_weights = weights * largest_weight(theta_);

  // A spectrum's entry is off by at most n e |z|^{n−1} Π|others| for an error e of one use's transform, and 2n√5u of
  // itself; |z|^{n−1} Π|others| ≤ |Y|^{(n−1)/n}, whose mean is at most the mean of |Y| to that power (Jensen), and
  // likewise for squares. The weighted sum of the errors of y is at most their largest times the sum of the weights,
  // and by Cauchy and Schwarz, Parseval and Minkowski at most the product of the roots of sums of squares, where the
  // inverse transform errs by 2 fft_error: a butterfly's four outputs by 5u Σ|x| each are 10u in the Euclidean norm.
  const double one = 2.01 * fft_error(size), power_error = 5 * kUnit, count = static_cast<double>(size);
  double crude = 4 * kUnit * static_cast<double>(parts.size());
  for (const LawPart& part : parts) crude += static_cast<double>(part.count) * (one + power_error);
  crude = std::expm1(crude);
  double rounding[2];
  for (int side = 0; side < 2; ++side) {
    const double whole = std::min(1.01, mean[side] / count * (1 + 1e-9) + crude);
    const double root = std::min(1.01, std::sqrt(square[side] / count) * (1 + 1e-9) + crude);
    double largest = 0, euclidean = 0;
    for (const LawPart& part : parts) {
      const double n = static_cast<double>(part.count), less = (n - 1) / n;
      largest += n * (one * std::pow(whole, less) + power_error * whole);
      euclidean += n * (one * std::pow(root, less) + power_error * root);
    }
    const double products = 4 * kUnit * static_cast<double>(parts.size());
    largest = (largest + products * whole) * (1 + 2 * crude) + 1.01 * fft_error(size) * (mean[0] + mean[1]) / count +
              4 * kUnit * whole;
    euclidean = (euclidean + products * root) * (1 + 2 * crude) +
                2.02 * fft_error(size) * std::sqrt((square[0] + square[1]) / count) + 4 * kUnit * root;
    rounding[side] = std::min(largest * weights, euclidean * std::sqrt(squared_weights));
  }

  above_.log_scale = k_above + unsure + 4 * kUnit * std::abs(k_above);
  above_.margin = rounding[0];
  above_.extra = std::exp(k_high - tilt.high * window_top + unsure_outside);
  for (const LawPart& part : parts)
    above_.extra += static_cast<double>(part.count) * part.law.above.at_infinity * (1 + 1e-9);
  recurrence_error_ = 16 * kUnit * static_cast<double>(size);
  if (has_below) {
    const double k_below = total(false, theta_);
    below_.log_scale = k_below - unsure - 4 * kUnit * std::abs(k_below);
    const double folded =
        std::exp(total(false, tilt.high) - k_below - (tilt.high - theta_) * window_top + 2 * unsure_outside) +
        std::exp(total(false, tilt.low) - k_below + (theta_ - tilt.low) * window_bottom + 2 * unsure_outside);
    below_.margin = rounding[1] + std::min(1.0, folded) * largest_weight(theta_);
  } else {
    below_.margin = kInfinity;
  }
}

// Calls visit(m, bound on δ(level m) · e^{θ level m − log_scale}) for m from the window's top downwards until it
// returns false.
template <class Visit>
void ComposedLaw::descend(bool above, Visit visit) const {
  const auto size = static_cast<int64_t>(masses_.size());
  const std::vector<double>& y = above ? masses_.imag : masses_.real;
  const double fall = std::exp(-theta_ * step_), shrink = std::exp(-step_), rest = -std::expm1(-step_);
  const double inverse_size = 1 / static_cast<double>(size);
  const double factor = above ? 1 + recurrence_error_ : 1 - recurrence_error_;
  const double margin = above ? above_.margin : -below_.margin;
  double tail = 0, delta = 0;  // Σ_{j≥m} y_j e^{−θ(ℓ_j−ℓ_m)}, and with the factor 1 − e^{ℓ_m−ℓ_j}
  for (int64_t m = first_ + size; visit(m, delta * factor + margin) && m > first_;) {
    delta = fall * (shrink * delta + rest * tail);
    --m;
    tail = y[static_cast<size_t>(m) & static_cast<size_t>(size - 1)] * inverse_size + fall * tail;
  }
}

// Where the bound on δ(ε), linear in e^ε between levels, crosses `target` coming from above: +infinity where it is more
// from the start. Where it is not more down to the window's first level, nothing is known below: above that is an upper
// bound of ε, below it is none.
double ComposedLaw::crossing(bool above, double target) const {
  const double log_scale = above ? above_.log_scale : below_.log_scale, log_target = std::log(target);
  const double fall = std::exp(-theta_ * step_), rest = -std::expm1(-step_);
  double limit = 0, previous_limit = 0, previous = 0, found = kInfinity;
  bool crossed = false;
  descend(above, [&](int64_t m, double scaled) {
    const bool afresh = limit == 0 || (m & 63) == 0;  // before the powers' rounding adds up
    limit = afresh ? std::exp(log_target + theta_ * level(m) - log_scale) : limit * fall;
    if (scaled <= limit) {
      found = std::max(0.0, level(m));
      previous_limit = limit;
      previous = scaled;
      return level(m) > -slack_;
    }
    crossed = true;
    if (found < kInfinity) {
      const double share = std::clamp((previous_limit - previous) / (scaled / fall - previous), 0.0, 1.0);
      found = level(m + 1) + std::log1p(-share * rest);
    }
    return false;
  });
  return above || crossed ? found : 0;
}

double ComposedLaw::epsilon_above(double delta) const {
  const double target = delta * (1 - 1e-12) - above_.extra;
  if (!(target > 0)) return kInfinity;
  const double found = crossing(true, target);
  return std::max(0.0, found == 0 ? 0 : found + slack_ + 1e-12 * step_);
}

double ComposedLaw::epsilon_below(double delta) const {
  if (below_.margin == kInfinity) return 0;
  const double found = crossing(false, delta * (1 + 1e-12));
  return found == kInfinity ? 0 : std::max(0.0, found - slack_ - 1e-12 * step_);
}

double ComposedLaw::at(bool above, double epsilon) const {
  const double log_scale = above ? above_.log_scale : below_.log_scale;
  double previous = 0, found = 0;
  descend(above, [&](int64_t m, double scaled) {
    const double value = scaled * std::exp(log_scale - theta_ * level(m));
    found = value;
    if (level(m) <= epsilon) {
      if (m < first_ + static_cast<int64_t>(masses_.size())) {
        const double share = std::expm1(epsilon - level(m + 1)) / std::expm1(-step_);
        found = previous + (value - previous) * std::clamp(share, 0.0, 1.0);
      }
      return false;
    }
    previous = value;
    return true;
  });
  return found;
}

double ComposedLaw::delta_above(double epsilon) const {
  const double lowered = epsilon - slack_;
  if (above_.extra >= 1) return 1;
  if (lowered < level(first_)) return 1;
  return std::min(1.0, at(true, lowered) * (1 + 1e-12) + above_.extra);
}

double ComposedLaw::delta_below(double epsilon) const {
  if (below_.margin == kInfinity) return 0;
  return std::clamp(at(false, epsilon + slack_) * (1 - 1e-12), 0.0, 1.0);
}

}  // namespace sotto::accountants

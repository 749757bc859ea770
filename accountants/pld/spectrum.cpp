#include "accountants/pld/spectrum.h"

#include <algorithm>
#include <cmath>

#include "accountants/pld/numerics.h"
#include "accountants/pld/tilted.h"
#include "base/instruction_set.h"

namespace sotto::accountants {
namespace {

constexpr size_t kBlock = 64;
constexpr int kAbove = 0, kBelow = 1;

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

// z ← ((1 + z) / (1 + sum))^power, |z| ≤ sum ≤ 1/8: log(1 + z) is good to 4u |z|, and e^w to 4u (1 + |w|).
void raise_rare_block(double* re, double* im, size_t count, double power, double sum) {
  const double whole = std::log1p(sum);
  for (size_t j = 0; j < count; ++j) {
    const double x = re[j], y = im[j];
    const double size = std::exp(power * (0.5 * std::log1p(x * (2 + x) + y * y) - whole));
    const double angle = power * std::atan2(y, 1 + x);
    re[j] = size * std::cos(angle);
    im[j] = size * std::sin(angle);
  }
}

// The first halves of two real sequences' transforms, above and below; the rest mirrors them. Empty: both are 1.
struct Spectra {
  std::vector<double> re[2], im[2];
  bool empty() const { return re[kAbove].empty(); }
};

// A part and, where it is rare, the sums of its sides' tilted masses.
struct RaisedPart {
  const LawPart& part;
  double sums[2];
};

// Calls use(begin, width, re, im) for blocks of product · transform^count, x the part's transform of two real sequences
// packed into one.
template <class Use>
void for_each_block(const Spectra& product, const ComplexArray& x, const RaisedPart& raised, const Use& use) {
  const LawPart& part = raised.part;
  const size_t size = x.size(), half = size / 2;
  const int64_t counts[2] = {part.count, part.count - part.left_out};
  const double smallest = std::exp(-1200.0 / static_cast<double>(part.count));
  double re[2][kBlock], im[2][kBlock];
  for (size_t begin = 0; begin <= half; begin += kBlock) {
    const size_t width = std::min(kBlock, half + 1 - begin);
    for (size_t j = 0; j < width; ++j) {
      const size_t k = begin + j, mirror = (size - k) & (size - 1);
      re[kAbove][j] = (x.real[k] + x.real[mirror]) / 2;
      im[kAbove][j] = (x.imag[k] - x.imag[mirror]) / 2;
      re[kBelow][j] = (x.imag[k] + x.imag[mirror]) / 2;
      im[kBelow][j] = (x.real[mirror] - x.real[k]) / 2;
    }
    for (const int side : {kAbove, kBelow}) {
      if (part.rare)
        raise_rare_block(re[side], im[side], width, static_cast<double>(counts[side]), raised.sums[side]);
      else
        raise_block(re[side], im[side], width, counts[side], smallest);
      for (size_t j = 0; j < width && !product.empty(); ++j) {
        const double a = product.re[side][begin + j], b = product.im[side][begin + j];
        const double real = a * re[side][j] - b * im[side][j];
        im[side][j] = a * im[side][j] + b * re[side][j];
        re[side][j] = real;
      }
    }
    use(begin, width, re, im);
  }
}

void multiply_by_power(Spectra& product, const ComplexArray& x, const RaisedPart& part) {
  Spectra next;
  for (const int side : {kAbove, kBelow}) {
    next.re[side].resize(x.size() / 2 + 1);
    next.im[side].resize(x.size() / 2 + 1);
  }
  for_each_block(product, x, part, [&](size_t begin, size_t width, const auto& re, const auto& im) {
    for (const int side : {kAbove, kBelow}) {
      std::copy_n(re[side], width, next.re[side].data() + begin);
      std::copy_n(im[side], width, next.im[side].data() + begin);
    }
  });
  product = std::move(next);
}

// Σ |Y| and Σ |Y|² over all N entries of a spectrum.
struct Norms {
  double sum = 0, squares = 0;
};

// x ← product · transform^count, both packed into one again, real and imaginary part exchanged: the forward transform
// is then the inverse one. The last part needs no room of its own.
void pack_power(const Spectra& product, ComplexArray& x, const RaisedPart& part, Norms (&norms)[2]) {
  const size_t size = x.size(), half = size / 2;
  for_each_block(product, x, part, [&](size_t begin, size_t width, const auto& re, const auto& im) {
    for (size_t j = 0; j < width; ++j) {
      const size_t k = begin + j, mirror = (size - k) & (size - 1);
      const double ar = re[kAbove][j], ai = im[kAbove][j], br = re[kBelow][j], bi = im[kBelow][j];
      const double weight = k == 0 || k == half ? 1 : 2;
      const double a = ar * ar + ai * ai, b = br * br + bi * bi;
      norms[kAbove].sum += weight * std::sqrt(a);
      norms[kBelow].sum += weight * std::sqrt(b);
      norms[kAbove].squares += weight * a;
      norms[kBelow].squares += weight * b;
      x.real[k] = ai + br;
      x.imag[k] = ar - bi;
      x.real[mirror] = br - ai;
      x.imag[mirror] = ar + bi;
    }
  });
}

// A spectrum's entry is off by at most n e |z|^{n−1} Π|others| for an error e of one use's transform, and 2n√5u of
// itself; |z|^{n−1} Π|others| ≤ |Y|^{(n−1)/n}, whose mean is at most the mean of |Y| to that power (Jensen), and
// likewise for squares. The weighted sum of the errors of y is at most their largest times the sum of the weights, and
// by Cauchy and Schwarz, Parseval and Minkowski at most the product of the roots of sums of squares, where the inverse
// transform errs by 2 fft_error: a butterfly's four outputs by 5u Σ|x| each are 10u in the Euclidean norm.
class RoundingBound {
 public:
  RoundingBound(const std::vector<LawPart>& parts, double theta, double step, size_t size)
      : parts_(parts), size_(static_cast<double>(size)), transform_(fft_error(size)) {
    double all = products();
    for (const LawPart& part : parts) {
      rare_.push_back(part.rare ? uses(part) * tilted_mass(part.law.above, theta) * (2.1 * transform_ + 16 * kUnit)
                                : 0);
      all += part.rare ? rare_.back() : uses(part) * (one() + kPower);
    }
    crude_ = std::expm1(all);
    // Σ over levels above of e^{−θx}(1 − e^{−x}), and of its square.
    const double decay = -std::expm1(-theta * step), faster = -std::expm1(-(theta + 1) * step);
    weights_ = std::min(size_, std::exp(-theta * step) * -std::expm1(-step) / (decay * faster)) * (1 + 1e-9);
    squared_weights_ = weights_ * largest_weight(theta);
  }

  SumRounding of(const Norms& norms, const Norms& other) const {
    const double whole = std::min(1.01, norms.sum / size_ * (1 + 1e-9) + crude_);
    const double root = std::min(1.01, std::sqrt(norms.squares / size_) * (1 + 1e-9) + crude_);
    double largest = products() * whole, euclidean = products() * root;
    for (size_t i = 0; i < parts_.size(); ++i) {
      const LawPart& part = parts_[i];
      if (part.rare) {
        largest += rare_[i] * whole;
        euclidean += rare_[i] * root;
        continue;
      }
      const double n = uses(part), fewer = std::max(1.0, n - static_cast<double>(part.left_out));
      const double less = (fewer - 1) / fewer;
      largest += n * (one() * std::pow(whole, less) + kPower * whole);
      euclidean += n * (one() * std::pow(root, less) + kPower * root);
    }
    largest = largest * (1 + 2 * crude_) + 1.01 * transform_ * (norms.sum + other.sum) / size_ + 4 * kUnit * whole;
    euclidean = euclidean * (1 + 2 * crude_) + 2.02 * transform_ * std::sqrt((norms.squares + other.squares) / size_) +
                4 * kUnit * root;
    return {std::min(largest * weights_, euclidean * std::sqrt(squared_weights_)), largest};
  }

 private:
  static constexpr double kPower = 5 * kUnit;
  double one() const { return 2.01 * transform_; }
  double products() const { return 4 * kUnit * static_cast<double>(parts_.size()); }

  const std::vector<LawPart>& parts_;
  std::vector<double> rare_;  // relative errors of rare parts' spectra
  double size_, transform_, crude_, weights_, squared_weights_;
};

}  // namespace

bool all_bounded_below(const std::vector<LawPart>& parts) {
  return std::none_of(parts.begin(), parts.end(),
                      [](const LawPart& part) { return part.law.below.mass.empty() && !part.rare; });
}

double log_moment(const LawPart& part, const LossAtoms& side, double s) {
  return uses(part) * (part.rare ? std::log1p(tilted_mass(side, s)) : cumulant(side, s));
}

double log_moment_error(const LawPart& part, double s) {
  const double error = std::max(cumulant_error(part.law.above, s), cumulant_error(part.law.below, s));
  const double rare = part.rare ? tilted_mass(part.law.above, s) : 1;
  return uses(part) * (rare * (error + part.law.mass_error));
}

TiltedSum tilted_sum(const std::vector<LawPart>& parts, double theta, double step, size_t size) {
  const bool has_below = all_bounded_below(parts);
  Fft fft(size);
  ComplexArray x(size);
  Spectra product;
  Norms norms[2];
  for (const LawPart& part : parts) {
    RaisedPart raised{part, {0, 0}};
    const auto tilt = [&](const LossAtoms& atoms, std::vector<double>& out, double& sum) {
      if (part.rare)
        sum = tilt_raw_into(atoms, theta, out);
      else
        tilt_into(atoms, theta, out);
    };
    tilt(part.law.above, x.real, raised.sums[kAbove]);
    if (has_below)
      tilt(part.law.below, x.imag, raised.sums[kBelow]);
    else
      std::fill(x.imag.begin(), x.imag.end(), 0.0);
    fft.transform(x);
    if (&part != &parts.back())
      multiply_by_power(product, x, raised);
    else
      pack_power(product, x, raised, norms);
  }
  fft.transform(x);
  const RoundingBound rounding(parts, theta, step, size);
  return {std::move(x), rounding.of(norms[kAbove], norms[kBelow]), rounding.of(norms[kBelow], norms[kAbove])};
}

double largest_weight(double theta) {
  return theta == 0 ? 1 : std::exp(theta * std::log(theta) - (1 + theta) * std::log1p(theta)) * (1 + 1e-12);
}

}  // namespace sotto::accountants

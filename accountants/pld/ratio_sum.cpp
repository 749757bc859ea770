#include "accountants/pld/ratio_sum.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "accountants/pld/fft.h"
#include "accountants/pld/numerics.h"

namespace sotto::accountants {
namespace {

using Complex = std::complex<double>;

// A relative error of at most 2 · power · √5 u.
Complex raised(Complex z, int64_t power) {
  Complex product = 1;
  for (; power > 0; power >>= 1) {
    if (power & 1)
      product = {product.real() * z.real() - product.imag() * z.imag(),
                 product.real() * z.imag() + product.imag() * z.real()};
    z = {z.real() * z.real() - z.imag() * z.imag(), 2 * z.real() * z.imag()};
  }
  return product;
}

// Puts masses at index value / h, around the circle; `weighted`: times the value.
void wind(const RatioLaw& law, double h, bool weighted, std::vector<double>& out) {
  for (size_t k = 0; k < law.value.size(); ++k) {
    const auto index = static_cast<size_t>(std::llround(law.value[k] / h)) & (out.size() - 1);
    out[index] += law.mass[k] * (weighted ? law.value[k] : 1);
  }
}

// The transforms of two real sequences that were packed into one.
std::pair<Complex, Complex> unpacked(const ComplexArray& x, size_t k) {
  const size_t mirror = (x.size() - k) & (x.size() - 1);
  const Complex z{x.real[k], x.imag[k]}, w{x.real[mirror], -x.imag[mirror]};
  return {(z + w) / 2.0, (z - w) / Complex{0, 2}};
}

// The least outputs become one, at a place of the lattice, and none of the others is nearer to it than h: then c(a) = Σ
// mass · max(0, value − a) is a line from 0 to there, and the chain ends on it. From the top down each line goes
// through where the last one met its knot and is tangent to c farther down. Empty where least_mass is too little.
RatioLaw contracted(const RatioLaw& whole, double h, double least_mass) {
  RatioLaw law;
  double mean = 0, merged = 0, mass = 0, least_place = 0;
  for (size_t k = 0; k < whole.value.size(); ++k) {
    double rest = whole.mass[k];
    mean += rest * whole.value[k];
    if (least_place == 0) {  // with a share of this one?
      const double place = (std::floor(merged / std::max(mass, 1e-300) / h) + 1) * h;
      const double missing = mass * place - merged;
      const bool reached =
          mass >= least_mass && whole.value[k] >= place + h && missing <= rest * (whole.value[k] - place);
      const double share = reached ? missing / (whole.value[k] - place) : rest;
      merged += share * whole.value[k];
      mass += share;
      rest -= share;
      if (!reached) continue;
      least_place = place;
      law = {{place}, {mass}};
    }
    if (rest > 0) {
      law.value.push_back(whole.value[k]);
      law.mass.push_back(rest);
    }
  }
  if (law.value.size() < 2) return {};
  const size_t size = law.value.size();
  std::vector<double> curve(size);  // c at each value
  double sum = 0;
  for (size_t k = size; k-- > 0;) {
    curve[k] = k + 1 < size ? curve[k + 1] + sum * (law.value[k + 1] - law.value[k]) : 0;
    sum += law.mass[k];
  }
  std::vector<std::pair<double, double>> found;  // (value, mass), descending
  double knot = std::floor(law.value.back() / h), height = 0, previous = 0;
  size_t next = size;
  while (knot >= 1) {
    const double at = knot * h;
    while (next > 0 && law.value[next - 1] >= at) --next;
    double least = (curve[0] + sum * law.value[0] - height) / at;  // to c(0)
    size_t touch = size;
    for (size_t k = next; k-- > 0;) {
      const double slope = (curve[k] - height) / (at - law.value[k]);
      if (touch < size && slope > least) break;
      if (slope > least) continue;
      least = slope;
      touch = k;
    }
    const double slope = std::clamp(least, previous, 1.0);
    found.emplace_back(at, slope - previous);
    const double to = touch == size ? 0 : std::min(knot - 1, std::floor(law.value[touch] / h + 1e-9));
    height += slope * (knot - to) * h;
    previous = slope;
    knot = to;
  }
  // What rounding took from the mean goes to the least value, where c is near 1.
  double reached = 0;
  for (const auto& [value, each] : found) reached += value * each;
  const double short_of = std::max(0.0, mean - reached) / found.back().first;
  if (short_of > 1e-9) return {};
  found.back().second += short_of;
  found.emplace_back(0, std::max(0.0, 1 - previous - short_of));
  RatioLaw lattice;
  for (auto each = found.rbegin(); each != found.rend(); ++each)
    if (each->second > 0) {
      lattice.value.push_back(each->first);
      lattice.mass.push_back(each->second);
    }
  return lattice;
}

}  // namespace

double RatioLaw::cumulant(double theta) const {
  double largest = -kInfinity, sum = 0;
  for (const double each : value) largest = std::max(largest, theta * each);
  for (size_t k = 0; k < value.size(); ++k) sum += mass[k] * std::exp(theta * value[k] - largest);
  return largest + std::log(sum);
}

double RatioLaw::slope(double theta) const {
  const double k = cumulant(theta);
  double sum = 0;
  for (size_t i = 0; i < value.size(); ++i) sum += mass[i] * value[i] * std::exp(theta * value[i] - k);
  return sum;
}

RatioLaw spread_onto_lattice(const RatioLaw& law, double h) {
  std::vector<double> at(static_cast<size_t>(std::floor(law.value.back() / h)) + 3);
  for (size_t k = 0; k < law.value.size(); ++k) {
    const double place = law.value[k] / h, low = std::floor(place), share = place - low;
    at[static_cast<size_t>(low)] += law.mass[k] * (1 - share);
    at[static_cast<size_t>(low) + 1] += law.mass[k] * share;
  }
  RatioLaw spread;
  for (size_t j = 0; j < at.size(); ++j)
    if (at[j] > 0) {
      spread.value.push_back(static_cast<double>(j) * h);
      spread.mass.push_back(at[j]);
    }
  return spread;
}

RatioLaw contract_onto_lattice(const RatioLaw& law, double h) {
  for (const double least_mass : {0.0, 0.01, 0.1, 0.3, 0.5})
    if (RatioLaw found = contracted(law, h, least_mass); !found.value.empty()) return found;
  return {};
}

RatioSums sums_of_ratios(const RatioLaw& above, const RatioLaw& below, double h, int64_t count, bool weighted,
                         int64_t first, size_t size) {
  const double uses = static_cast<double>(count), width = static_cast<double>(size);
  Fft fft(size);
  ComplexArray x(size), first_use(weighted ? size : 0);
  wind(above, h, false, x.real);
  wind(below, h, false, x.imag);
  fft.transform(x);
  if (weighted) {
    wind(above, h, true, first_use.real);
    wind(below, h, true, first_use.imag);
    fft.transform(first_use);
  }
  const double off = 2 * fft_error(size) + 64 * kUnit;  // of a transform of masses that sum to 1, both together
  double size_above = 0, size_below = 0, error_above = 0, error_below = 0;
  const size_t half = size / 2;
  for (size_t k = 0; k <= half; ++k) {
    const auto [a, b] = unpacked(x, k);
    const auto [first_a, first_b] = weighted ? unpacked(first_use, k) : std::pair{a, b};
    const Complex product_a = raised(a, count - 1) * first_a, product_b = raised(b, count - 1) * first_b;
    const double times = k == 0 || k == half ? 1 : 2;
    const auto tally = [&](Complex base, Complex one, double& total, double& error) {
      const double most = std::abs(base) + off, near = std::exp((uses - 1) * std::log(most)), last = std::abs(one);
      total += times * near * (last + off);
      error += times * near * (off + (last + off) * (uses - 1) * (off / most + 5 * kUnit) + 8 * kUnit);
    };
    tally(a, first_a, size_above, error_above);
    tally(b, first_b, size_below, error_below);
    // Real and imaginary part exchanged, for the way back.
    const size_t mirror = (size - k) & (size - 1);
    x.imag[k] = product_a.real() - product_b.imag();
    x.real[k] = product_a.imag() + product_b.real();
    x.imag[mirror] = product_a.real() + product_b.imag();
    x.real[mirror] = -product_a.imag() + product_b.real();
    if (mirror == k) {
      x.imag[k] = product_a.real();
      x.real[k] = product_b.real();
    }
  }
  fft.transform(x);
  const double back = fft_error(size) * (size_above + size_below);
  error_above = (error_above + back) / width, error_below = (error_below + back) / width;

  RatioSums sums{std::vector<double>(size), std::vector<double>(size), error_above, error_below};
  for (size_t i = 0; i < size; ++i) {
    const auto index = static_cast<size_t>(first + static_cast<int64_t>(i)) & (size - 1);
    sums.above[i] = std::max(0.0, x.imag[index] / width);
    sums.below[i] = std::max(0.0, x.real[index] / width);
  }
  return sums;
}

}  // namespace sotto::accountants

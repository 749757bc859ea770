#include "accountants/pld/half_spectrum.h"

#include <algorithm>

#include "base/instruction_set.h"

namespace sotto::accountants {
namespace {

constexpr size_t kLanes = 8;

SOTTO_VECTORISED void multiply(size_t count, double* __restrict zr, double* __restrict zi, const double* __restrict xr,
                               const double* __restrict xi) {
  for (size_t k = 0; k < count; ++k) {
    const double re = zr[k] * xr[k] - zi[k] * xi[k], im = zr[k] * xi[k] + zi[k] * xr[k];
    const bool kept = re * re + im * im >= kNegligible * kNegligible;  // or they become denormal, and slow
    zr[k] = kept ? re : 0.0;
    zi[k] = kept ? im : 0.0;
  }
}

SOTTO_VECTORISED void square(size_t count, double* __restrict zr, double* __restrict zi) {
  for (size_t k = 0; k < count; ++k) {
    const double re = zr[k] * zr[k] - zi[k] * zi[k], im = 2 * zr[k] * zi[k];
    const bool kept = re * re + im * im >= kNegligible * kNegligible;
    zr[k] = kept ? re : 0.0;
    zi[k] = kept ? im : 0.0;
  }
}

void trim(HalfSpectrum& z) {
  while (z.used > 0 && z.re[z.used - 1] == 0 && z.im[z.used - 1] == 0) --z.used;
}

// Several sums at once, so that they vectorise.
SOTTO_VECTORISED void dot_lanes(size_t count, const double* __restrict zr, const double* __restrict zi,
                                const double* __restrict ar, const double* __restrict ai, const double* __restrict br,
                                const double* __restrict bi, double* __restrict first, double* __restrict second) {
  double a[kLanes] = {}, b[kLanes] = {};
  for (size_t k = 0; k < count; k += kLanes)
    for (size_t j = 0; j < kLanes; ++j) {
      a[j] += zr[k + j] * ar[k + j] + zi[k + j] * ai[k + j];
      b[j] += zr[k + j] * br[k + j] + zi[k + j] * bi[k + j];
    }
  for (size_t j = 0; j < kLanes; ++j) *first += a[j], *second += b[j];
}

}  // namespace

HalfSpectrum unit_spectrum(size_t size) {
  return {std::vector<double>(size / 2 + 1, 1.0), std::vector<double>(size / 2 + 1), size / 2 + 1};
}

std::pair<HalfSpectrum, HalfSpectrum> unpacked(const ComplexArray& transform) {
  const size_t size = transform.size(), half = size / 2;
  HalfSpectrum real = unit_spectrum(size), imaginary = unit_spectrum(size);
  for (size_t k = 0; k <= half; ++k) {
    const size_t mirror = (size - k) & (size - 1);
    real.re[k] = (transform.real[k] + transform.real[mirror]) / 2;
    real.im[k] = (transform.imag[k] - transform.imag[mirror]) / 2;
    imaginary.re[k] = (transform.imag[k] + transform.imag[mirror]) / 2;
    imaginary.im[k] = (transform.real[mirror] - transform.real[k]) / 2;
  }
  return {std::move(real), std::move(imaginary)};
}

void multiply_by_power(HalfSpectrum& z, const HalfSpectrum& x, int64_t count) {
  const auto take = [&](const HalfSpectrum& factor) {
    const size_t used = std::min(z.used, factor.used);
    std::fill(z.re.begin() + static_cast<std::ptrdiff_t>(used), z.re.begin() + static_cast<std::ptrdiff_t>(z.used), 0);
    std::fill(z.im.begin() + static_cast<std::ptrdiff_t>(used), z.im.begin() + static_cast<std::ptrdiff_t>(z.used), 0);
    z.used = used;
    multiply(used, z.re.data(), z.im.data(), factor.re.data(), factor.im.data());
    trim(z);
  };
  if (count == 1) return take(x);
  HalfSpectrum power = x;
  power.used = std::min(power.used, z.used);
  for (;; count >>= 1) {
    if (count & 1) take(power);
    if (count <= 1) return;
    square(power.used, power.re.data(), power.im.data());
    trim(power);
  }
}

void shift_by(HalfSpectrum& z, const ComplexArray& table, int64_t shift) {
  const size_t mask = table.size() - 1, step = static_cast<size_t>(shift) & mask;
  if (step == 0) return;
  if (step == 1) return multiply(z.used, z.re.data(), z.im.data(), table.real.data(), table.imag.data());
  size_t at = 0;
  for (size_t k = 0; k < z.used; ++k, at = (at + step) & mask) {
    const double re = z.re[k] * table.real[at] - z.im[k] * table.imag[at];
    z.im[k] = z.re[k] * table.imag[at] + z.im[k] * table.real[at];
    z.re[k] = re;
  }
}

std::pair<double, double> dot(const HalfSpectrum& z, const HalfSpectrum& first, const HalfSpectrum& second) {
  std::pair<double, double> sums{0, 0};
  const size_t blocks = z.used - z.used % kLanes;
  dot_lanes(blocks, z.re.data(), z.im.data(), first.re.data(), first.im.data(), second.re.data(), second.im.data(),
            &sums.first, &sums.second);
  for (size_t k = blocks; k < z.used; ++k) {
    sums.first += z.re[k] * first.re[k] + z.im[k] * first.im[k];
    sums.second += z.re[k] * second.re[k] + z.im[k] * second.im[k];
  }
  return sums;
}

}  // namespace sotto::accountants

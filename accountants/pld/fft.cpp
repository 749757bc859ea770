#include "accountants/pld/fft.h"

#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/error.h"
#include "base/instruction_set.h"

namespace sotto::accountants {
namespace {

struct Twiddles {
  std::vector<double> real, imag;  // ω^j, j < 3N/4
};

// ω^{a + b·block} = ω^a · ω^{b·block} in long double: 2^−62 off before it is rounded to double.
Twiddles twiddles(size_t size) {
  const size_t count = size - size / 4, block = size_t{1} << (std::bit_width(size) / 2);
  Twiddles table{std::vector<double>(count), std::vector<double>(count)};
  const long double step = -2 * std::numbers::pi_v<long double> / static_cast<long double>(size);
  std::vector<long double> cosines(block), sines(block);
  for (size_t a = 0; a < block; ++a) {
    cosines[a] = std::cos(step * static_cast<long double>(a));
    sines[a] = std::sin(step * static_cast<long double>(a));
  }
  for (size_t first = 0; first < count; first += block) {
    const long double c = std::cos(step * static_cast<long double>(first)),
                      s = std::sin(step * static_cast<long double>(first));
    for (size_t a = 0; a < block && first + a < count; ++a) {
      table.real[first + a] = static_cast<double>(c * cosines[a] - s * sines[a]);
      table.imag[first + a] = static_cast<double>(c * sines[a] + s * cosines[a]);
    }
  }
  return table;
}

// One radix-4 stage of Stockham's transform: the length `length` falls to a quarter, the stride grows fourfold.
SOTTO_VECTORISED void first_stage(size_t quarter, const double* __restrict xr, const double* __restrict xi,
                                  double* __restrict yr, double* __restrict yi, const double* __restrict wr,
                                  const double* __restrict wi) {
  for (size_t p = 0; p < quarter; ++p) {
    const double ar = xr[p], ai = xi[p], br = xr[p + quarter], bi = xi[p + quarter];
    const double cr = xr[p + 2 * quarter], ci = xi[p + 2 * quarter], dr = xr[p + 3 * quarter], di = xi[p + 3 * quarter];
    const double er = ar + cr, ei = ai + ci, fr = ar - cr, fi = ai - ci;
    const double gr = br + dr, gi = bi + di, hr = br - dr, hi = bi - di;
    const double sr = fr + hi, si = fi - hr, tr = er - gr, ti = ei - gi, vr = fr - hi, vi = fi + hr;
    yr[4 * p] = er + gr;
    yi[4 * p] = ei + gi;
    yr[4 * p + 1] = sr * wr[p] - si * wi[p];
    yi[4 * p + 1] = sr * wi[p] + si * wr[p];
    yr[4 * p + 2] = tr * wr[2 * p] - ti * wi[2 * p];
    yi[4 * p + 2] = tr * wi[2 * p] + ti * wr[2 * p];
    yr[4 * p + 3] = vr * wr[3 * p] - vi * wi[3 * p];
    yi[4 * p + 3] = vr * wi[3 * p] + vi * wr[3 * p];
  }
}

SOTTO_VECTORISED void stage(size_t quarter, size_t stride, const double* __restrict xr, const double* __restrict xi,
                            double* __restrict yr, double* __restrict yi, const double* __restrict wr,
                            const double* __restrict wi) {
  const size_t far = quarter * stride;
  for (size_t p = 0; p < quarter; ++p) {
    const size_t w = p * stride;
    const double w1r = wr[w], w1i = wi[w], w2r = wr[2 * w], w2i = wi[2 * w], w3r = wr[3 * w], w3i = wi[3 * w];
    const double *inr = xr + w, *ini = xi + w;
    double *outr = yr + 4 * w, *outi = yi + 4 * w;
#pragma GCC ivdep
    for (size_t q = 0; q < stride; ++q) {
      const double ar = inr[q], ai = ini[q], br = inr[q + far], bi = ini[q + far];
      const double cr = inr[q + 2 * far], ci = ini[q + 2 * far], dr = inr[q + 3 * far], di = ini[q + 3 * far];
      const double er = ar + cr, ei = ai + ci, fr = ar - cr, fi = ai - ci;
      const double gr = br + dr, gi = bi + di, hr = br - dr, hi = bi - di;
      const double sr = fr + hi, si = fi - hr, tr = er - gr, ti = ei - gi, vr = fr - hi, vi = fi + hr;
      outr[q] = er + gr;
      outi[q] = ei + gi;
      outr[q + stride] = sr * w1r - si * w1i;
      outi[q + stride] = sr * w1i + si * w1r;
      outr[q + 2 * stride] = tr * w2r - ti * w2i;
      outi[q + 2 * stride] = tr * w2i + ti * w2r;
      outr[q + 3 * stride] = vr * w3r - vi * w3i;
      outi[q + 3 * stride] = vr * w3i + vi * w3r;
    }
  }
}

void last_stage_of_two(size_t half, const double* xr, const double* xi, double* yr, double* yi) {
  for (size_t q = 0; q < half; ++q) {
    const double ar = xr[q], ai = xi[q], br = xr[q + half], bi = xi[q + half];
    yr[q] = ar + br;
    yi[q] = ai + bi;
    yr[q + half] = ar - br;
    yi[q + half] = ai - bi;
  }
}

}  // namespace

void fft(ComplexArray& x, ComplexArray& scratch) {
  const size_t size = x.size();
  require(size >= 2 && std::has_single_bit(size), "a transform's size must be a power of two and at least 2, got ",
          size);
  require(scratch.size() == size, "the scratch space must have the same size: ", scratch.size(), " for ", size);
  const Twiddles w = twiddles(size);
  size_t length = size, stride = 1;
  for (; length >= 4; length /= 4, stride *= 4) {
    if (stride == 1)
      first_stage(length / 4, x.real.data(), x.imag.data(), scratch.real.data(), scratch.imag.data(), w.real.data(),
                  w.imag.data());
    else
      stage(length / 4, stride, x.real.data(), x.imag.data(), scratch.real.data(), scratch.imag.data(), w.real.data(),
            w.imag.data());
    std::swap(x, scratch);
  }
  if (length == 2) {
    last_stage_of_two(size / 2, x.real.data(), x.imag.data(), scratch.real.data(), scratch.imag.data());
    std::swap(x, scratch);
  }
}

double fft_error(size_t size) {
  const double stages = (std::bit_width(size) + 1) / 2;
  return std::expm1(stages * std::log1p(5.1 * 0x1p-53));
}

}  // namespace sotto::accountants

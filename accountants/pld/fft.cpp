#include "accountants/pld/fft.h"

#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/error.h"
#include "base/instruction_set.h"

namespace sotto::accountants {
namespace {

// ω^{a + b·block} = ω^a · ω^{b·block} in long double: 2^−62 off before it is rounded to double.
ComplexArray twiddles(size_t size) {
  const size_t count = size - size / 4, block = size_t{1} << (std::bit_width(size) / 2);
  ComplexArray table(count);
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

struct Complex {
  double re, im;
};

SOTTO_INLINE Complex product(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

// The four outputs of a radix-4 butterfly, before the twiddle factors.
struct Butterfly {
  Complex first, second, third, fourth;
};

SOTTO_INLINE Butterfly butterfly(Complex a, Complex b, Complex c, Complex d) {
  const Complex e{a.re + c.re, a.im + c.im}, f{a.re - c.re, a.im - c.im};
  const Complex g{b.re + d.re, b.im + d.im}, h{b.re - d.re, b.im - d.im};
  return {
      {e.re + g.re, e.im + g.im}, {f.re + h.im, f.im - h.re}, {e.re - g.re, e.im - g.im}, {f.re - h.im, f.im + h.re}};
}

// A radix-4 stage of Stockham's transform: the length falls to a quarter, the stride grows fourfold. At stride 1 the
// outputs of a butterfly are neighbours and vectors run over butterflies; later they run over the stride.
SOTTO_VECTORISED void first_stage(size_t quarter, const double* __restrict xr, const double* __restrict xi,
                                  double* __restrict yr, double* __restrict yi, const double* __restrict wr,
                                  const double* __restrict wi) {
  for (size_t p = 0; p < quarter; ++p) {
    const Butterfly out =
        butterfly({xr[p], xi[p]}, {xr[p + quarter], xi[p + quarter]}, {xr[p + 2 * quarter], xi[p + 2 * quarter]},
                  {xr[p + 3 * quarter], xi[p + 3 * quarter]});
    const Complex second = product(out.second, {wr[p], wi[p]}), third = product(out.third, {wr[2 * p], wi[2 * p]}),
                  fourth = product(out.fourth, {wr[3 * p], wi[3 * p]});
    yr[4 * p] = out.first.re;
    yi[4 * p] = out.first.im;
    yr[4 * p + 1] = second.re;
    yi[4 * p + 1] = second.im;
    yr[4 * p + 2] = third.re;
    yi[4 * p + 2] = third.im;
    yr[4 * p + 3] = fourth.re;
    yi[4 * p + 3] = fourth.im;
  }
}

SOTTO_VECTORISED void stage(size_t quarter, size_t stride, const double* __restrict xr, const double* __restrict xi,
                            double* __restrict yr, double* __restrict yi, const double* __restrict wr,
                            const double* __restrict wi) {
  const size_t far = quarter * stride;
  for (size_t p = 0; p < quarter; ++p) {
    const size_t w = p * stride;
    const Complex w1{wr[w], wi[w]}, w2{wr[2 * w], wi[2 * w]}, w3{wr[3 * w], wi[3 * w]};
    const double *inr = xr + w, *ini = xi + w;
    double *outr = yr + 4 * w, *outi = yi + 4 * w;
#pragma GCC ivdep
    for (size_t q = 0; q < stride; ++q) {
      const Butterfly out = butterfly({inr[q], ini[q]}, {inr[q + far], ini[q + far]},
                                      {inr[q + 2 * far], ini[q + 2 * far]}, {inr[q + 3 * far], ini[q + 3 * far]});
      const Complex second = product(out.second, w1), third = product(out.third, w2), fourth = product(out.fourth, w3);
      outr[q] = out.first.re;
      outi[q] = out.first.im;
      outr[q + stride] = second.re;
      outi[q + stride] = second.im;
      outr[q + 2 * stride] = third.re;
      outi[q + 2 * stride] = third.im;
      outr[q + 3 * stride] = fourth.re;
      outi[q + 3 * stride] = fourth.im;
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

Fft::Fft(size_t size) : twiddles_(0), scratch_(size) {
  require(size >= 2 && std::has_single_bit(size), "a transform's size must be a power of two and at least 2, got ",
          size);
  twiddles_ = twiddles(size);
}

void Fft::transform(ComplexArray& x) {
  const size_t size = scratch_.size();
  require(x.size() == size, "this transform is of size ", size, ", got ", x.size());
  const double *wr = twiddles_.real.data(), *wi = twiddles_.imag.data();
  size_t length = size, stride = 1;
  for (; length >= 4; length /= 4, stride *= 4) {
    if (stride == 1)
      first_stage(length / 4, x.real.data(), x.imag.data(), scratch_.real.data(), scratch_.imag.data(), wr, wi);
    else
      stage(length / 4, stride, x.real.data(), x.imag.data(), scratch_.real.data(), scratch_.imag.data(), wr, wi);
    std::swap(x, scratch_);
  }
  if (length == 2) {
    last_stage_of_two(size / 2, x.real.data(), x.imag.data(), scratch_.real.data(), scratch_.imag.data());
    std::swap(x, scratch_);
  }
}

double fft_error(size_t size) {
  const double stages = (std::bit_width(size) + 1) / 2;
  return std::expm1(stages * std::log1p(5.1 * 0x1p-53));
}

}  // namespace sotto::accountants

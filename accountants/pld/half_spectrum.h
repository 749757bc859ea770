#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "accountants/pld/fft.h"

namespace sotto::accountants {

// The first half, 0 … N/2, of the transform of a real sequence of N numbers: the rest mirrors it. Those of
// distributions, so that no entry is above 1. What has fallen below kNegligible is 0, and entries from `used` on are:
// the spectrum of a long sum is short.
struct HalfSpectrum {
  std::vector<double> re, im;
  size_t used = 0;
};

inline constexpr double kNegligible = 1e-17;

// Of the sequence that is 1 at 0: what other spectra are multiplied into.
HalfSpectrum unit_spectrum(size_t size);

// Of two real sequences that were transformed as real and imaginary part of one.
std::pair<HalfSpectrum, HalfSpectrum> unpacked(const ComplexArray& transform);

// z ← z · x^count. With z and x off by at most ez and ex an entry, the product is off by at most
// ez + count · (ex + 5u) + 2 kNegligible, to first order.
void multiply_by_power(HalfSpectrum& z, const HalfSpectrum& x, int64_t count);

// z[k] ← z[k] · table[k · shift mod N]: with table[k] = ω^k, the sequence moved by `shift` places.
void shift_by(HalfSpectrum& z, const ComplexArray& table, int64_t shift);

// Σ_k Re(z[k] · conj(a[k])) for two fixed sequences a, over the entries in use.
std::pair<double, double> dot(const HalfSpectrum& z, const HalfSpectrum& first, const HalfSpectrum& second);

}  // namespace sotto::accountants

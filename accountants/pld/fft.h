#pragma once
#include <cstddef>
#include <vector>

namespace sotto::accountants {

// Complex numbers as two arrays, so that loops over them vectorise.
struct ComplexArray {
  std::vector<double> real, imag;
  explicit ComplexArray(size_t size) : real(size), imag(size) {}
  size_t size() const { return real.size(); }
};

// X[k] = Σ_j x[j] ω^{jk}, ω = e^{−2πi/N}, in place, for one N = 2, 4, 8, …; throws invalid_argument for other sizes.
// The inverse, without its 1/N, is the same transform of x with real and imaginary part exchanged, exchanged back.
//
// Every X[k] is off by at most fft_error(N) · Σ|x[j]|. Proof: each input reaches each output along one path, one
// butterfly a stage. A radix-4 butterfly adds twice (a relative error of u = 2^−53 of the magnitudes each) and
// multiplies by a twiddle factor that is correctly rounded (u/√2, here at most 0.75 u) with a relative error of √5 u
// (Brent, Percival, Zimmermann 2007): together below 5 u a stage, and (1 + 5u)^stages − 1 over all.
class Fft {
 public:
  explicit Fft(size_t size);
  void transform(ComplexArray& x);

 private:
  ComplexArray twiddles_;  // ω^j, j < 3N/4
  ComplexArray scratch_;
};

double fft_error(size_t size);

}  // namespace sotto::accountants

#pragma once
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace sotto::kernels {

// B samples of T rows each, with d activations and p gradients a row.
struct Shape {
  int64_t samples, length, d, p;
};

inline const std::vector<Shape> kShapes = {
    {0, 1, 3, 2},     {1, 1, 1, 1},    {5, 1, 120, 2}, {3, 1, 17, 33},   {70, 1, 31, 15},
    {130, 1, 40, 29}, {2, 2, 5, 3},    {3, 5, 16, 16}, {2, 7, 33, 14},   {2, 64, 20, 47},
    {2, 65, 3, 1},    {1, 130, 9, 31}, {4, 3, 0, 6},   {1, 4, 300, 290},
};

inline std::vector<float> normal_values(int64_t count, uint64_t seed, float scale = 1) {
  std::mt19937_64 rng(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(rng);
  return values;
}

// The per-sample gradient Σ_t g_t [a_t, 1]ᵀ, p x (d + with_bias), in long double: the definition, and no code under
// test.
inline std::vector<long double> gradient_of(const Shape& shape, const std::vector<float>& a,
                                            const std::vector<float>& g, int64_t sample, bool with_bias) {
  const int64_t columns = shape.d + (with_bias ? 1 : 0);
  std::vector<long double> gradient(static_cast<size_t>(shape.p * columns), 0.0L);
  for (int64_t t = 0; t < shape.length; ++t) {
    const int64_t row = sample * shape.length + t;
    for (int64_t i = 0; i < shape.p; ++i)
      for (int64_t j = 0; j < columns; ++j)
        gradient[i * columns + j] +=
            static_cast<long double>(g[row * shape.p + i]) * (j < shape.d ? a[row * shape.d + j] : 1.0f);
  }
  return gradient;
}

template <class T>
long double square_of(const std::vector<T>& values) {
  long double sum = 0;
  for (const T value : values) sum += static_cast<long double>(value) * value;
  return sum;
}

// Σ_t ‖g_t‖ ‖(a_t, 1)‖
inline long double mass_of_sample(const Shape& shape, const std::vector<float>& a, const std::vector<float>& g,
                                  int64_t sample, bool with_bias) {
  long double mass = 0;
  for (int64_t row = sample * shape.length; row < (sample + 1) * shape.length; ++row) {
    long double a_square = with_bias ? 1 : 0, g_square = 0;
    for (int64_t j = 0; j < shape.d; ++j)
      a_square += static_cast<long double>(a[row * shape.d + j]) * a[row * shape.d + j];
    for (int64_t i = 0; i < shape.p; ++i)
      g_square += static_cast<long double>(g[row * shape.p + i]) * g[row * shape.p + i];
    mass += std::sqrt(a_square * g_square);
  }
  return mass;
}

// One adversarial operand: values whose sums cancel, whose magnitudes differ wildly, or that are denormal.
inline std::vector<float> adversarial_values(int64_t rows, int64_t columns, std::mt19937_64& rng) {
  std::vector<float> values(static_cast<size_t>(rows * columns));
  std::normal_distribution<float> normal;
  const int kind = static_cast<int>(rng() % 7);
  const float scale = std::ldexp(1.0f, static_cast<int>(rng() % 60) - 30);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < columns; ++j) {
      float& value = values[r * columns + j];
      value = normal(rng) * scale;
      if (kind == 1) value = (r % 2 ? -1.0f : 1.0f) * scale * (1 + 1e-6f * normal(rng));    // rows cancel
      if (kind == 2) value = (j % 2 ? -1.0f : 1.0f) * scale * (3 + 1e-7f * float(r));       // columns cancel
      if (kind == 3) value = std::ldexp(normal(rng), static_cast<int>(rng() % 200) - 100);  // every magnitude
      if (kind == 4) value = rng() % 3 ? 0.0f : value;                                      // sparse
      if (kind == 5) value = std::ldexp(normal(rng), -140);                                 // denormal
      if (kind == 6) value = normal(rng) * 1e30f;
    }
  return values;
}

}  // namespace sotto::kernels

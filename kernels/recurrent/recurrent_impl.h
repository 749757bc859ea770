#pragma once
#include "kernels/recurrent/recurrent.h"

#ifdef __CUDACC__
#define SOTTO_CELL __host__ __device__ inline
#else
#define SOTTO_CELL inline __attribute__((always_inline))
#endif

namespace sotto::kernels {

// The elementwise parts of the cells, shared by the backends: T is a float or a vector of floats, Math has
// sigmoid(T&) and tanh(T&) in place. Each is one LibTorch-style step; the names are those of recurrent.h.

template <class Math, class T>
SOTTO_CELL void lstm_forward(T& i, T& f, T& g, T& o, const T& c_before, T& c, T& h) {
  Math::sigmoid(i);
  Math::sigmoid(f);
  Math::tanh(g);
  Math::sigmoid(o);
  c = f * c_before + i * g;
  T squashed = c;
  Math::tanh(squashed);
  h = o * squashed;
}

// dc comes in as the gradient of c_t from later steps and leaves as that of c_{t−1}; i f g o become their gradients.
template <class Math, class T>
SOTTO_CELL void lstm_backward(T& i, T& f, T& g, T& o, const T& c_before, const T& c, const T& dh, T& dc) {
  T squashed = c;
  Math::tanh(squashed);
  const T of_c = dc + dh * o * (1.0f - squashed * squashed);
  dc = of_c * f;
  const T of_i = of_c * g * i * (1.0f - i);
  g = of_c * i * (1.0f - g * g);
  i = of_i;
  f = of_c * c_before * f * (1.0f - f);
  o = dh * squashed * o * (1.0f - o);
}

// n comes in as a_n, u as u_n.
template <class Math, class T>
SOTTO_CELL void gru_forward(T& r, T& z, T& n, const T& u, const T& h_before, T& h) {
  Math::sigmoid(r);
  Math::sigmoid(z);
  n = n + r * u;
  Math::tanh(n);
  h = (1.0f - z) * n + z * h_before;
}

// r z n become their gradients and u that of u_n; dh leaves as the part of h_{t−1}'s gradient that passes by z.
template <class T>
SOTTO_CELL void gru_backward(T& r, T& z, T& n, T& u, const T& h_before, T& dh) {
  const T of_n = dh * (1.0f - z) * (1.0f - n * n);
  const T of_z = dh * (h_before - n) * z * (1.0f - z);
  dh = dh * z;
  const T of_r = of_n * u * r * (1.0f - r);
  u = of_n * r;
  r = of_r;
  z = of_z;
  n = of_n;
}

// A NaN must stay one, so that its sample is found out.
template <class Math, class T>
SOTTO_CELL void rnn_forward(bool relu, T& h) {
  if (relu)
    h = h < 0.0f ? T{} : h;
  else
    Math::tanh(h);
}

template <class T>
SOTTO_CELL void rnn_backward(bool relu, const T& h, T& dh) {
  if (relu)
    dh = h <= 0.0f ? T{} : dh;
  else
    dh = dh * (1.0f - h * h);
}

void recurrent_forward_cpu(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> x,
                           MatrixView<const float> first_hidden, MatrixView<const float> first_cell,
                           const RecurrentTrace& trace);
void recurrent_backward_cpu(const Exec& exec, const RecurrentLayer& layer, MatrixView<const float> first_hidden,
                            MatrixView<const float> first_cell, const RecurrentTrace& trace,
                            const RecurrentGradient& gradient, const RecurrentResult& result);

}  // namespace sotto::kernels

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "engine/roofline/case.h"
#include "kernels/recurrent/recurrent.h"
#include "kernels/sample_gradients/sample_gradients.h"

namespace sotto {
namespace {

// T steps, each with the error of the one before it.
constexpr double kTolerance = 1e-3, kProductTolerance = 1e-4;

using kernels::Cell;
using Shape = std::vector<std::pair<std::string, int64_t>>;

// An LSTM layer of H units on B sequences of T rows of D.
struct Layer {
  int64_t B, T, D, H;
  at::Tensor x, first, input_weight, hidden_weight, input_bias, hidden_bias;
  at::Tensor hidden, gates, state;
  Layer(const Site& site, int64_t B, int64_t T, int64_t D, int64_t H)
      : B(B),
        T(T),
        D(D),
        H(H),
        x(site.normals({B, T, D}, 1)),
        first(site.zeros({B, H})),
        input_weight(site.normals({4 * H, D}, 2).mul_(0.1)),
        hidden_weight(site.normals({4 * H, H}, 3).mul_(0.1)),
        input_bias(site.normals({4 * H}, 4)),
        hidden_bias(site.normals({4 * H}, 5)),
        hidden(site.zeros({B, T, H})),
        gates(site.zeros({B, T, 4 * H})),
        state(site.zeros({B, T, H})) {}

  kernels::RecurrentLayer layer() const {
    return {
        Cell::lstm, B, T, false, in(input_weight), in(hidden_weight), vector_in(input_bias), vector_in(hidden_bias)};
  }
  kernels::RecurrentTrace trace() const { return {out(hidden), out(gates), out(state)}; }
  void forward(const Site& site) const {
    kernels::recurrent_forward(site.exec, layer(), in(x), in(first), in(first), trace());
  }
  // LibTorch's layer, which keeps what its backward pass needs.
  std::pair<at::Tensor, at::Tensor> torch_forward() const {
    const at::AutoGradMode with_gradient(true);
    const at::Tensor input = x.detach().requires_grad_(true), zero = first.unsqueeze(0);
    const auto made = at::lstm(input, {zero, zero}, {input_weight, hidden_weight, input_bias, hidden_bias}, true, 1,
                               0.0, true, false, true);
    return {input, std::get<0>(made)};
  }
};

Shape shape(int64_t B, int64_t T, int64_t D, int64_t H) {
  return {{"B", B}, {"T", T}, {"d", D}, {"h", H}};
}

// FLOPs 8BTh(d + h): the four gates' products. Bytes of the weights 16h(d + h).
double products(int64_t B, int64_t T, int64_t D, int64_t H) {
  return 8 * double(B * T) * double(H) * double(D + H);
}
double weights(int64_t D, int64_t H) {
  return 16 * double(H) * double(D + H);
}

// Bytes 4BT(d + 6h): x in; hidden, gates and state out; weights, biases 32h and two first states 8Bh.
RooflineCase recurrent_forward(int64_t B, int64_t T, int64_t D, int64_t H) {
  return {.kernel = "recurrent_forward (LSTM)",
          .folder = "recurrent",
          .shape = shape(B, T, D, H),
          .composite = "lstm, keeping what its backward needs",
          .bytes = 4 * double(B * T) * double(D + 6 * H) + weights(D, H) + 32 * double(H) + 8 * double(B * H),
          .flops = products(B, T, D, H),
          .tolerance = kTolerance,
          .make =
              [=](const Site& site) {
                const Layer own(site, B, T, D, H);
                return Contest{[=] {
                                 own.forward(site);
                                 return Tensors{own.hidden};
                               },
                               [=] { return Tensors{own.torch_forward().second.detach()}; }};
              },
          .on_cuda = false};
}

// Bytes 4BT(6h + 4h + d): gates, state and the gradient in, the gates' gradients and x's out; weights; 4B(4h + 4h): the
// bias, and first states and their gradients. It leaves the weight's gradient to others, LibTorch's includes it.
RooflineCase recurrent_backward(int64_t B, int64_t T, int64_t D, int64_t H) {
  return {.kernel = "recurrent_backward (LSTM)",
          .folder = "recurrent",
          .shape = shape(B, T, D, H),
          .composite = "lstm's backward, which makes the batch's weight gradient, too",
          .bytes = 4 * double(B * T) * double(10 * H + D) + weights(D, H) + 32 * double(B * H),
          .flops = products(B, T, D, H),
          .tolerance = kTolerance,
          .make =
              [=](const Site& site) {
                const Layer own(site, B, T, D, H);
                own.forward(site);
                const at::Tensor given = site.normals({B, T, H}, 6), of_gates = at::zeros_like(own.gates),
                                 of_bias = site.zeros({B, 4 * H}), of_x = at::zeros_like(own.x),
                                 of_first = site.zeros({B, H}), of_cell = site.zeros({B, H});
                const auto [input, output] = own.torch_forward();
                return Contest{[=] {
                                 kernels::recurrent_backward(site.exec, own.layer(), in(own.first), in(own.first),
                                                             own.trace(), {in(given), {nullptr, 0, 0}, {nullptr, 0, 0}},
                                                             {out(of_gates),
                                                              {nullptr, 0, 0},
                                                              out(of_bias),
                                                              {nullptr, 0, 0},
                                                              out(of_x),
                                                              out(of_first),
                                                              out(of_cell)});
                                 return Tensors{of_x};
                               },
                               [given, x = input, y = output] {
                                 return torch::autograd::grad({y}, {x}, {given}, /*retain_graph=*/true);
                               }};
              },
          .on_cuda = false};
}

// Bytes 4BT(d + p) + 4Bpd, of Bfloat16 rows 2Bpd there; FLOPs 2BTpd.
RooflineCase sample_gradients(int64_t B, int64_t T, int64_t D, int64_t P, bool as_bfloat16 = false) {
  const double b = double(B), rows = double(B * T), d = double(D), p = double(P);
  return {.kernel = as_bfloat16 ? "sample_gradients (Bfloat16)" : "sample_gradients",
          .folder = "sample_gradients",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"p", P}},
          .composite = as_bfloat16 ? "bmm Gᵀ A, to bfloat16" : "bmm Gᵀ A",
          .bytes = 4 * rows * (d + p) + (as_bfloat16 ? 2 : 4) * b * p * d,
          .flops = 2 * rows * p * d,
          .tolerance = as_bfloat16 ? kBfloat16Tolerance : kProductTolerance,
          .make = [=](const Site& site) {
            const at::Tensor a = site.normals({B, T, D}, 1), g = site.normals({B, T, P}, 2);
            const at::Tensor rows = site.zeros({B, P * D}, as_bfloat16 ? at::kBFloat16 : at::kFloat);
            const at::Tensor product = site.zeros({B, P, D});
            return Contest{
                [=] {
                  if (as_bfloat16)
                    kernels::sample_gradients(site.exec, in(a), in(g), T, out_bfloat16(rows));
                  else
                    kernels::sample_gradients(site.exec, in(a), in(g), T, out(rows));
                  return Tensors{rows};
                },
                [=] {
                  at::Tensor result = product;
                  return Tensors{at::bmm_out(result, g.transpose(1, 2), a).view({B, P * D}).to(rows.scalar_type())};
                }};
          }};
}

// Bytes 60Bh: u, the gates in and out, the state before and after, hidden. FLOPs 13Bh: four sums, five activations
// (one each), three products, one sum.
RooflineCase cell_forward(int64_t B, int64_t H) {
  return {.kernel = "cell_forward (LSTM)",
          .folder = "recurrent",
          .shape = {{"B", B}, {"h", H}},
          .composite = "add, chunk, sigmoid, tanh, multiply, add",
          .bytes = 60 * double(B * H),
          .flops = 13 * double(B * H),
          .tolerance = kTolerance,
          .make = [=](const Site& site) {
            const at::Tensor u = site.normals({B, 4 * H}, 1), before = site.normals({B, H}, 2);
            const at::Tensor gates = site.normals({B, 4 * H}, 3), other = gates.clone();
            const at::Tensor state = site.zeros({B, H}), hidden = site.zeros({B, H});
            const auto rows = [](const at::Tensor& x) {
              return kernels::StepRows<float>{x.mutable_data_ptr<float>(), x.size(1), x.size(1)};
            };
            const auto read = [](const at::Tensor& x) {
              return kernels::StepRows<const float>{x.const_data_ptr<float>(), x.size(1), x.size(1)};
            };
            return Contest{[=] {
                             kernels::cell_forward(site.exec, Cell::lstm, B, read(u), {nullptr, 0, 0}, read(before),
                                                   rows(gates), rows(state), rows(hidden));
                             return Tensors{gates, state, hidden};
                           },
                           [=] {
                             other.add_(u);
                             const Tensors part = other.chunk(4, 1);
                             for (const size_t k : {0, 1, 3}) part[k].sigmoid_();
                             part[2].tanh_();
                             const at::Tensor after = at::mul(part[1], before).addcmul_(part[0], part[2]);
                             return Tensors{other, after, at::tanh(after).mul_(part[3])};
                           }};
          }};
}

}  // namespace

std::vector<RooflineCase> recurrent_contests() {
  return {recurrent_forward(16, 32, 32, 64),
          recurrent_forward(64, 64, 64, 128),
          recurrent_backward(16, 32, 32, 64),
          recurrent_backward(64, 64, 64, 128),
          sample_gradients(64, 64, 64, 512),
          sample_gradients(32, 128, 128, 512),
          sample_gradients(64, 64, 64, 512, true),
          sample_gradients(32, 128, 128, 512, true),
          cell_forward(64, 128),
          cell_forward(256, 1024)};
}

}  // namespace sotto

#include "engine/roofline/case.h"
#include "kernels/convolution_norms/convolution_norms.h"
#include "kernels/layer_norm/layer_norm.h"

namespace sotto {
namespace {

// Sums of floats in another order.
constexpr double kTolerance = 1e-4;
constexpr double kEpsilon = 1e-5;  // of a normalisation: LibTorch's default

// R = BT rows. Bytes 4(3Rd + 2R + d + 2Bd): x, g and the input's gradient; mean and rstd; γ; the sample's gradients.
// FLOPs 13 an entry: x̂ 2, scale 2, shift 1, γg 1, its two sums 3, the input's gradient 4.
RooflineCase layer_norm(int64_t B, int64_t T, int64_t D) {
  const double b = double(B), r = double(B * T), d = double(D);
  return {.kernel = "layer_norm_backward",
          .folder = "layer_norm",
          .shape = {{"B", B}, {"T", T}, {"d", D}},
          .composite = "native_layer_norm_backward for the input; x̂, multiply, two sums",
          .bytes = 4 * (3 * r * d + 2 * r + d + 2 * b * d),
          .flops = 13 * r * d,
          .tolerance = kTolerance,
          .make = [=](const Site& site) {
            const at::Tensor x = site.normals({B * T, D}, 1), g = site.normals({B * T, D}, 2);
            const at::Tensor gamma = site.normals({D}, 3);
            const auto [variance, mean] = at::var_mean(x, at::IntArrayRef{1}, false, true);
            const at::Tensor center = mean, rstd = at::rsqrt(variance + kEpsilon);
            const at::Tensor input = at::empty_like(x), scale = site.zeros({B, D}), shift = site.zeros({B, D});
            return Contest{[=] {
                             kernels::layer_norm_backward(site.exec, {B, T, T, 1}, in(x), in(g), vector_in(center),
                                                          vector_in(rstd), vector_in(gamma),
                                                          {out(input), out(scale), out(shift)});
                             return Tensors{input, scale, shift};
                           },
                           [=] {
                             const at::Tensor normalised = at::sub(x, center).mul_(rstd);
                             return Tensors{std::get<0>(at::native_layer_norm_backward(
                                                g, x, {D}, center, rstd, gamma, std::nullopt, {true, false, false})),
                                            normalised.mul_(g).view({B, T, D}).sum(1), g.view({B, T, D}).sum(1)};
                           }};
          }};
}

// K groups of C channels, L positions, n = BCL. Bytes 4(3n + 2BK + C + 2BC); FLOPs 13n, as above.
RooflineCase group_norm(int64_t B, int64_t C, int64_t K, int64_t L) {
  const double n = double(B * C * L);
  return {.kernel = "group_norm_backward",
          .folder = "group_norm",
          .shape = {{"B", B}, {"C", C}, {"K", K}, {"L", L}},
          .composite = "native_group_norm_backward for the input; x̂, multiply, two sums",
          .bytes = 4 * (3 * n + double(2 * B * K + C + 2 * B * C)),
          .flops = 13 * n,
          .tolerance = kTolerance,
          .make = [=](const Site& site) {
            const at::Tensor x = site.normals({B, C, L}, 1), g = site.normals({B, C, L}, 2);
            const at::Tensor gamma = site.normals({C}, 3);
            const auto [variance, mean] = at::var_mean(x.view({B, K, -1}), at::IntArrayRef{2}, false);
            const at::Tensor center = mean, rstd = at::rsqrt(variance + kEpsilon);
            const at::Tensor input = at::empty_like(x), scale = site.zeros({B, C}), shift = site.zeros({B, C});
            return Contest{[=] {
                             kernels::group_norm_backward(site.exec, B, in(x), in(g), vector_in(center),
                                                          vector_in(rstd), vector_in(gamma),
                                                          {out(input), out(scale), out(shift)});
                             return Tensors{input, scale, shift};
                           },
                           [=] {
                             const at::Tensor normalised = at::sub(x.view({B, K, -1}), center.unsqueeze(2));
                             normalised.mul_(rstd.unsqueeze(2));
                             return Tensors{std::get<0>(at::native_group_norm_backward(g, x, center, rstd, gamma, B, C,
                                                                                       L, K, {true, false, false})),
                                            normalised.view({B, C, L}).mul_(g).sum(2), g.sum(2)};
                           }};
          }};
}

// An H x W image, a k x k kernel of stride s. N samples, o output channels, y positions, e = elements() of the weight.
// Bytes 4(x + g + N(e + o)), of Bfloat16 rows 2Ne there; FLOPs 2Ney + Noy: a product for each element and position, and
// the bias.
RooflineCase convolution(const kernels::ConvolutionShape& s, bool as_bfloat16 = false) {
  const int64_t N = s.samples, y = s.positions();
  const double images = double(N * s.in_channels * s.places()), gradients = double(N * s.out_channels * y);
  return {.kernel = as_bfloat16 ? "convolution_gradients (Bfloat16)" : "convolution_gradients",
          .folder = "convolution",
          .shape = {{"B", N},
                    {"in", s.in_channels},
                    {"out", s.out_channels},
                    {"groups", s.groups},
                    {"H", s.input[1]},
                    {"W", s.input[2]},
                    {"k", s.kernel[2]},
                    {"s", s.stride[2]}},
          .composite = as_bfloat16 ? "im2col, bmm, to bfloat16, sum" : "im2col, bmm, sum",
          .bytes = 4 * (images + gradients + double(N * (s.elements() + s.out_channels))) -
                   (as_bfloat16 ? 2 * double(N * s.elements()) : 0),
          .flops = 2 * double(N * s.elements()) * double(y) + gradients,
          .tolerance = as_bfloat16 ? kBfloat16Tolerance : kTolerance,
          .make = [=](const Site& site) {
            const at::Tensor x = site.normals({N, s.in_channels, s.input[1], s.input[2]}, 1);
            const at::Tensor g = site.normals({N, s.out_channels, y}, 2);
            const at::Tensor weight = site.zeros({N, s.elements()}, as_bfloat16 ? at::kBFloat16 : at::kFloat);
            const at::Tensor bias = site.zeros({N, s.out_channels});
            return Contest{
                [=] {
                  const auto *images = x.const_data_ptr<float>(), *outputs = g.const_data_ptr<float>();
                  if (as_bfloat16)
                    kernels::convolution_gradients(site.exec, s, images, outputs, out_bfloat16(weight), out(bias));
                  else
                    kernels::convolution_gradients(site.exec, s, images, outputs, out(weight), out(bias));
                  return Tensors{weight, bias};
                },
                [=] {
                  const auto last_two = [](const int64_t* size) { return at::IntArrayRef(size + 1, 2); };
                  const at::Tensor columns =
                      at::im2col(x, last_two(s.kernel), last_two(s.dilation), last_two(s.padding), last_two(s.stride));
                  const at::Tensor grouped = columns.view({N * s.groups, -1, y});
                  const at::Tensor product = at::bmm(g.view({N * s.groups, -1, y}), grouped.transpose(1, 2));
                  return Tensors{product.view({N, -1}).to(weight.scalar_type()), g.sum(2)};
                }};
          }};
}

// Norms of convolutions of stride 1 without their gradients. P = H W places, T positions, K taps. Bytes 4B(in P + out
// T) and 16B; FLOPs B(P(P + 1) in + T(T + 1)(out + K/2)): one triangle of both Gram matrices and the sums of the
// filter.
RooflineCase convolution_norms(const kernels::ConvolutionShape& s) {
  const int64_t N = s.samples, y = s.positions();
  const double b = double(N), p = double(s.places()), t = double(y);
  return {.kernel = "accumulate_convolution_norms",
          .folder = "convolution_norms",
          .shape = {{"B", N},
                    {"in", s.in_channels},
                    {"out", s.out_channels},
                    {"H", s.input[1]},
                    {"W", s.input[2]},
                    {"k", s.kernel[2]}},
          .composite = "im2col, bmm, vector_norm, square",
          .bytes = 4 * b * (double(s.in_channels) * p + double(s.out_channels) * t) + 16 * b,
          .flops =
              b * (p * (p + 1) * double(s.in_channels) + t * (t + 1) * (double(s.out_channels) + double(s.taps()) / 2)),
          .tolerance = 2e-3,  // sotto adds its error bounds, a thousandth at most
          .make = [=](const Site& site) {
            const at::Tensor x = site.normals({N, s.in_channels, s.input[1], s.input[2]}, 1);
            const at::Tensor g = site.normals({N, s.out_channels, y}, 2), squared = site.zeros({N}, at::kDouble);
            return Contest{
                [=] {
                  kernels::accumulate_convolution_norms(site.exec, s, x.const_data_ptr<float>(),
                                                        g.const_data_ptr<float>(), vector_out<double>(squared));
                  return Tensors{squared};
                },
                [=] {
                  const auto last_two = [](const int64_t* size) { return at::IntArrayRef(size + 1, 2); };
                  const at::Tensor columns =
                      at::im2col(x, last_two(s.kernel), last_two(s.dilation), last_two(s.padding), last_two(s.stride));
                  const at::Tensor product = at::bmm(g, columns.transpose(1, 2));
                  return Tensors{at::linalg_vector_norm(product, 2, at::IntArrayRef{1, 2}).square_()};
                }};
          }};
}

}  // namespace

// The layers of the bench's convolutional models, of ResNet-50, depthwise and grouped ones.
std::vector<RooflineCase> layer_contests() {
  return {layer_norm(16, 16, 64),
          layer_norm(32, 128, 128),
          layer_norm(32, 100, 768),
          group_norm(16, 16, 4, 64),
          group_norm(128, 32, 8, 1024),
          group_norm(128, 128, 8, 64),
          convolution({256, 1, 16, 1, {1, 28, 28}, {1, 14, 14}, {1, 8, 8}, {1, 2, 2}, {0, 3, 3}}),
          convolution({256, 16, 32, 1, {1, 13, 13}, {1, 5, 5}, {1, 4, 4}, {1, 2, 2}}),
          convolution_norms({16, 16, 16, 1, {1, 8, 8}, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}),
          convolution_norms({128, 64, 128, 1, {1, 8, 8}, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}),
          convolution_norms({32, 512, 512, 1, {1, 7, 7}, {1, 7, 7}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}),
          convolution_norms({32, 256, 256, 1, {1, 14, 14}, {1, 14, 14}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}),
          convolution({128, 3, 32, 1, {1, 32, 32}, {1, 32, 32}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}),
          convolution({128, 32, 32, 1, {1, 32, 32}, {1, 32, 32}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}),
          convolution({128, 128, 128, 1, {1, 8, 8}, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}),
          convolution({128, 128, 128, 1, {1, 8, 8}, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}, true),
          convolution({8, 64, 256, 1, {1, 56, 56}, {1, 56, 56}, {1, 1, 1}}),
          convolution({32, 64, 64, 64, {1, 32, 32}, {1, 32, 32}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}),
          convolution({32, 128, 128, 32, {1, 28, 28}, {1, 28, 28}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}})};
}

}  // namespace sotto

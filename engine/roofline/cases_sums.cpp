#include <cmath>

#include "engine/roofline/case.h"
#include "kernels/clip/clip.h"
#include "kernels/clipped_sum/clipped_sum.h"

namespace sotto {
namespace {

// Both sum in floats, in another order: √n roundings of sums that do not cancel to nothing.
constexpr double kTolerance = 1e-4;

// In (0, 1), as of samples that are clipped.
at::Tensor factors(const Site& site, int64_t samples) {
  return site.normals({samples}, 9).sigmoid_();
}

// Bytes 8B in, 4B out; FLOPs 3B: root, quotient, minimum.
RooflineCase clip_factors(int64_t B) {
  return {.kernel = "clip_factors",
          .folder = "clip",
          .shape = {{"B", B}},
          .composite = "rsqrt, multiply, clamp, cast",
          .bytes = 12 * double(B),
          .flops = 3 * double(B),
          .tolerance = 1e-6,
          .make = [=](const Site& site) {
            const at::Tensor squared = site.normals({B}, 1).square_().to(at::kDouble), made = site.zeros({B});
            return Contest{[=] {
                             kernels::clip_factors(site.exec, vector_in<double>(squared), {}, 0.5, vector_out(made));
                             return Tensors{made};
                           },
                           [=] { return Tensors{squared.rsqrt().mul_(0.5).clamp_max_(1).to(at::kFloat)}; }};
          }};
}

// R = BT rows. Bytes 4R(p + d) + 4B, and 8(pd + p) for the sums that are added to; FLOPs 2Rpd + 3Rp: the product, the
// factor, and the bias's sum.
RooflineCase clipped_outer(int64_t B, int64_t T, int64_t D, int64_t P) {
  const double r = double(B * T), d = double(D), p = double(P);
  return {.kernel = "accumulate_clipped_outer",
          .folder = "clipped_sum",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"p", P}},
          .composite = "multiply the narrower of A and G, addmm, addmv",
          .bytes = 4 * r * (p + d) + 4 * double(B) + 8 * (p * d + p),
          .flops = 2 * r * p * d + 3 * r * p,
          .tolerance = kTolerance,
          .make = [=](const Site& site) {
            const at::Tensor a = site.normals({B * T, D}, 1), g = site.normals({B * T, P}, 2), f = factors(site, B);
            const at::Tensor each = f.unsqueeze(1).expand({B, T}).reshape({B * T}), column = each.unsqueeze(1);
            const at::Tensor weight = site.zeros({P, D}), bias = site.zeros({P});
            const at::Tensor other_weight = site.zeros({P, D}), other_bias = site.zeros({P});
            return Contest{[=] {
                             kernels::accumulate_clipped_outer(site.exec, in(g), in(a), vector_in(f), T, out(weight),
                                                               vector_out(bias));
                             return Tensors{weight, bias};
                           },
                           [=] {
                             if (P <= D)
                               other_weight.addmm_(at::mul(g, column).t(), a);
                             else
                               other_weight.addmm_(g.t(), at::mul(a, column));
                             other_bias.addmv_(g.t(), each);
                             return Tensors{other_weight, other_bias};
                           }};
          }};
}

// Bytes 4BP + 4B, and 8P (16P into doubles) for the sum that is added to; FLOPs 2BP.
RooflineCase clipped_rows(int64_t B, int64_t P, bool into_doubles) {
  const double b = double(B), p = double(P);
  return {.kernel = into_doubles ? "accumulate_clipped_rows (into doubles)" : "accumulate_clipped_rows",
          .folder = "clipped_sum",
          .shape = {{"B", B}, {"P", P}},
          .composite = into_doubles ? "mv in floats, add to doubles" : "addmv",
          .bytes = 4 * b * p + 4 * b + (into_doubles ? 16 : 8) * p,
          .flops = 2 * b * p,
          .tolerance = kTolerance,
          .make = [=](const Site& site) {
            const at::Tensor x = site.normals({B, P}, 1), f = factors(site, B);
            const auto type = into_doubles ? at::kDouble : at::kFloat;
            const at::Tensor sum = site.zeros({P}, type), other = site.zeros({P}, type);
            return Contest{[=] {
                             if (into_doubles)
                               kernels::accumulate_clipped_rows(site.exec, in(x), vector_in(f),
                                                                vector_out<double>(sum));
                             else
                               kernels::accumulate_clipped_rows(site.exec, in(x), vector_in(f), vector_out(sum));
                             return Tensors{sum};
                           },
                           [=] {
                             if (into_doubles)
                               other.add_(at::mv(x.t(), f));
                             else
                               other.addmv_(x.t(), f);
                             return Tensors{other};
                           }};
          }};
}

// The same of Bfloat16: bytes 2BP + 4B + 8P.
RooflineCase clipped_bfloat16_rows(int64_t B, int64_t P) {
  const double b = double(B), p = double(P);
  return {.kernel = "accumulate_clipped_rows (Bfloat16)",
          .folder = "clipped_sum",
          .shape = {{"B", B}, {"P", P}},
          .composite = "to float, addmv",
          .bytes = 2 * b * p + 4 * b + 8 * p,
          .flops = 2 * b * p,
          .tolerance = kTolerance,
          .make = [=](const Site& site) {
            const at::Tensor x = site.normals({B, P}, 1).to(at::kBFloat16), f = factors(site, B);
            const at::Tensor sum = site.zeros({P}), other = site.zeros({P});
            return Contest{[=] {
                             kernels::accumulate_clipped_rows(site.exec, in_bfloat16(x), vector_in(f), vector_out(sum));
                             return Tensors{sum};
                           },
                           [=] {
                             other.addmv_(x.to(at::kFloat).t(), f);
                             return Tensors{other};
                           }};
          }};
}

// U = V(1 − (1 − 1/V)^BT) rows of the sum are met on average. Bytes 8BT + 4BTd + 4B + 8Ud; FLOPs 2BTd.
RooflineCase clipped_embedding(int64_t B, int64_t T, int64_t D, int64_t V) {
  const double rows = double(B * T), d = double(D), v = double(V);
  const double met = -v * std::expm1(rows * std::log1p(-1 / v));
  return {.kernel = "accumulate_clipped_embedding",
          .folder = "clipped_sum",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"V", V}},
          .composite = "multiply, index_add",
          .bytes = rows * (8 + 4 * d) + 4 * double(B) + 8 * met * d,
          .flops = 2 * rows * d,
          .tolerance = kTolerance,
          .make = [=](const Site& site) {
            const at::Tensor ids = site.ids({B, T}, V, 1), g = site.normals({B, T, D}, 2), f = factors(site, B);
            const at::Tensor sum = site.zeros({V, D}), other = site.zeros({V, D});
            return Contest{[=] {
                             kernels::accumulate_clipped_embedding(site.exec, {ids.const_data_ptr<int64_t>(), B, T},
                                                                   in(g), vector_in(f), -1, out(sum));
                             return Tensors{sum};
                           },
                           [=] {
                             const at::Tensor scaled = at::mul(g, f.view({B, 1, 1}));
                             other.index_add_(0, ids.view({-1}), scaled.view({B * T, D}));
                             return Tensors{other};
                           }};
          }};
}

}  // namespace

std::vector<RooflineCase> sum_contests() {
  return {clip_factors(1024),
          clip_factors(1 << 20),
          clipped_outer(64, 1, 32, 32),
          clipped_outer(1024, 1, 120, 256),
          clipped_outer(32, 128, 128, 128),
          clipped_outer(32, 32, 2048, 512),
          clipped_outer(32, 100, 768, 768),
          clipped_rows(64, 1000, false),
          clipped_rows(128, 36928, false),
          clipped_rows(32, 1 << 20, false),
          clipped_rows(128, 36928, true),
          clipped_bfloat16_rows(128, 36928),
          clipped_bfloat16_rows(32, 1 << 20),
          clipped_embedding(16, 32, 32, 100),
          clipped_embedding(32, 128, 128, 1000),
          clipped_embedding(32, 100, 768, 50257)};
}

}  // namespace sotto

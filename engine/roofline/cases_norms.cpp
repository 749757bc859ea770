#include "engine/roofline/case.h"
#include "kernels/embedding_norms/embedding_norms.h"
#include "kernels/estimated_norms/estimated_norms.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "kernels/outer_norms/outer_norms.h"
#include "kernels/row_norms/row_norms.h"

namespace sotto {
namespace {

// Norms are upper bounds. Of single rows they exceed the true value by roundings of doubles, and the composite's float
// sums are what differs; of sequences sotto adds its error bounds, a thousandth at most.
constexpr double kRowTolerance = 1e-4, kSequenceTolerance = 2e-3;

at::Tensor square_norms(const at::Tensor& x, at::IntArrayRef over) {
  return at::linalg_vector_norm(x, 2, over).square_();
}

// Bytes 4BP, of Bfloat16 2BP, and 16B for the norms that are added to; FLOPs 2BP.
RooflineCase row_norms(int64_t B, int64_t P, bool of_bfloat16 = false) {
  const double b = double(B), p = double(P);
  return {.kernel = of_bfloat16 ? "accumulate_row_norms (Bfloat16)" : "accumulate_row_norms",
          .folder = "row_norms",
          .shape = {{"B", B}, {"P", P}},
          .composite = "vector_norm, square",
          .bytes = (of_bfloat16 ? 2 : 4) * b * p + 16 * b,
          .flops = 2 * b * p,
          .tolerance = kRowTolerance,
          .make = [=](const Site& site) {
            const at::Tensor x = site.normals({B, P}, 1).to(of_bfloat16 ? at::kBFloat16 : at::kFloat);
            const at::Tensor squared = site.zeros({B}, at::kDouble);
            return Contest{
                [=] {
                  if (of_bfloat16)
                    kernels::accumulate_row_norms(site.exec, in_bfloat16(x), vector_out<double>(squared));
                  else
                    kernels::accumulate_row_norms(site.exec, in(x), vector_out<double>(squared));
                  return Tensors{squared};
                },
                [=] { return Tensors{at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, false, at::kFloat).square_()}; }};
          }};
}

// Bytes 4B(d + p) + 16B; FLOPs 2B(d + p).
RooflineCase outer_norms(int64_t B, int64_t D, int64_t P) {
  const double b = double(B), d = double(D), p = double(P);
  return {.kernel = "accumulate_outer_norms",
          .folder = "outer_norms",
          .shape = {{"B", B}, {"d", D}, {"p", P}},
          .composite = "vector_norm of A and of G, square, multiply",
          .bytes = 4 * b * (d + p) + 16 * b,
          .flops = 2 * b * (d + p),
          .tolerance = kRowTolerance,
          .make = [=](const Site& site) {
            const at::Tensor a = site.normals({B, D}, 1), g = site.normals({B, P}, 2);
            const at::Tensor squared = site.zeros({B}, at::kDouble);
            return Contest{[=] {
                             kernels::accumulate_outer_norms(site.exec, in(a), in(g), true,
                                                             vector_out<double>(squared));
                             return Tensors{squared};
                           },
                           [=] { return Tensors{square_norms(a, {1}).add_(1).mul_(square_norms(g, {1}))}; }};
          }};
}

// K probes; bytes 4BT(d + p) + 4Kd + 16B, FLOPs 2KBT(d + p). An estimate, and the composite's is the same one.
RooflineCase estimated_norms(int64_t B, int64_t T, int64_t D, int64_t P, int64_t K) {
  const double rows = double(B * T), width = double(D + P);
  return {.kernel = "estimate_product_norms",
          .folder = "estimated_norms",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"p", P}, {"K", K}},
          .composite = "matmul with the probes, bmm, square, sum",
          .bytes = 4 * rows * width + 4 * double(K * D) + 16 * double(B),
          .flops = 2 * double(K) * rows * width,
          .tolerance = kSequenceTolerance,
          .make = [=](const Site& site) {
            const at::Tensor a = site.normals({B, T, D}, 1), g = site.normals({B, T, P}, 2);
            const at::Tensor probes = site.normals({K, D}, 3), squared = site.zeros({B}, at::kDouble);
            return Contest{[=] {
                             kernels::estimate_product_norms(site.exec, in(a), in(g), T, in(probes),
                                                             vector_out<double>(squared));
                             return Tensors{squared};
                           },
                           [=] {
                             const at::Tensor products = at::bmm(at::matmul(a, probes.t()).transpose(1, 2), g);
                             return Tensors{products.square().sum(std::vector<int64_t>{1, 2}).div_(double(K))};
                           }};
          }};
}

using kernels::SequenceNorms;

// A and G of a sequence layer; bytes 4BT(d + p) + 16B.
RooflineCase sequence_norms(int64_t B, int64_t T, int64_t D, int64_t P, SequenceNorms accumulate,
                            at::Tensor (*composite)(const at::Tensor& a, const at::Tensor& g)) {
  return {.kernel = "",
          .folder = "ghost_norms",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"p", P}},
          .composite = "",
          .bytes = 4 * double(B * T) * double(D + P) + 16 * double(B),
          .flops = 0,
          .tolerance = kSequenceTolerance,
          .make = [=](const Site& site) {
            const at::Tensor a = site.normals({B, T, D}, 1), g = site.normals({B, T, P}, 2);
            const at::Tensor squared = site.zeros({B}, at::kDouble);
            return Contest{[=] {
                             accumulate(site.exec, in(a), in(g), T, false, vector_out<double>(squared));
                             return Tensors{squared};
                           },
                           [=] { return Tensors{composite(a, g)}; }};
          }};
}

// FLOPs BT(T + 1)(d + p): one triangle of both Gram matrices.
RooflineCase ghost_norms(int64_t B, int64_t T, int64_t D, int64_t P) {
  RooflineCase made =
      sequence_norms(B, T, D, P, kernels::accumulate_ghost_norms, [](const at::Tensor& a, const at::Tensor& g) {
        return at::bmm(a, a.transpose(1, 2)).mul_(at::bmm(g, g.transpose(1, 2))).sum(std::vector<int64_t>{1, 2});
      });
  made.kernel = "accumulate_ghost_norms";
  made.composite = "bmm A Aᵀ, bmm G Gᵀ, multiply, sum";
  made.flops = double(B * T) * double(T + 1) * double(D + P);
  return made;
}

// FLOPs 2BTpd + 2Bpd.
RooflineCase direct_norms(int64_t B, int64_t T, int64_t D, int64_t P) {
  RooflineCase made =
      sequence_norms(B, T, D, P, kernels::accumulate_direct_norms, [](const at::Tensor& a, const at::Tensor& g) {
        return square_norms(at::bmm(g.transpose(1, 2), a), {1, 2});
      });
  made.kernel = "accumulate_direct_norms";
  made.composite = "bmm Gᵀ A, vector_norm, square";
  made.flops = 2 * double(B) * double(T + 1) * double(D * P);
  return made;
}

// Bytes 8BT of ids, 4BTd of gradients, 16B; FLOPs 2BTd: an entry is added to its id's sum or opens one, which is
// squared and added.
RooflineCase embedding_norms(int64_t B, int64_t T, int64_t D, int64_t V) {
  const double rows = double(B * T);
  return {.kernel = "accumulate_embedding_norms",
          .folder = "embedding_norms",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"V", V}},
          .composite = "bmm G Gᵀ, masked by equal ids, sum",
          .bytes = rows * (8 + 4 * double(D)) + 16 * double(B),
          .flops = 2 * rows * double(D),
          .tolerance = kSequenceTolerance,
          .make = [=](const Site& site) {
            const at::Tensor ids = site.ids({B, T}, V, 1), g = site.normals({B, T, D}, 2);
            const at::Tensor squared = site.zeros({B}, at::kDouble);
            return Contest{[=] {
                             kernels::accumulate_embedding_norms(site.exec, {ids.const_data_ptr<int64_t>(), B, T},
                                                                 in(g), -1, vector_out<double>(squared));
                             return Tensors{squared};
                           },
                           [=] {
                             const at::Tensor equal = ids.unsqueeze(2).eq(ids.unsqueeze(1));
                             return Tensors{at::bmm(g, g.transpose(1, 2)).mul_(equal).sum(std::vector<int64_t>{1, 2})};
                           }};
          }};
}

// An id's column of the head's gradient meets the embedding's row. Bytes 8BT + 8BTd (both rows) + 4BT² (the entries of
// g_head that are met) + 16B; FLOPs 2BT²d + 2BT².
RooflineCase tied_cross_norms(int64_t B, int64_t T, int64_t D, int64_t V) {
  const double b = double(B), t = double(T), d = double(D);
  return {.kernel = "accumulate_tied_cross_norms",
          .folder = "embedding_norms",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"V", V}},
          .composite = "bmm A Gᵀ, gather of g_head, multiply, sum",
          .bytes = b * (8 * t + 8 * t * d + 4 * t * t + 16),
          .flops = 2 * b * t * t * (d + 1),
          .tolerance = kSequenceTolerance,
          .make = [=](const Site& site) {
            const at::Tensor ids = site.ids({B, T}, V, 1), embedding = site.normals({B, T, D}, 2);
            // Of one sign, so that the cross term is large against the bound on its error, which is added to it.
            const at::Tensor a = site.normals({B, T, D}, 3).abs_(), head = site.normals({B, T, V}, 4).abs_();
            const at::Tensor g = embedding.abs(), squared = site.zeros({B}, at::kDouble);
            return Contest{
                [=] {
                  kernels::accumulate_tied_cross_norms(site.exec, {ids.const_data_ptr<int64_t>(), B, T}, in(g), -1,
                                                       in(a), in(head), vector_out<double>(squared));
                  return Tensors{squared};
                },
                [=] {
                  const at::Tensor met = at::gather(head, 2, ids.unsqueeze(1).expand({B, T, T}));
                  return Tensors{at::bmm(a, g.transpose(1, 2)).mul_(met).sum(std::vector<int64_t>{1, 2}).mul_(2)};
                }};
          }};
}

}  // namespace

// Small shapes, those of the bench's models (sotto bench step) and of GPT-2, and large ones.
std::vector<RooflineCase> norm_contests() {
  return {row_norms(64, 1000),
          row_norms(128, 36928),
          row_norms(32, 1 << 20),
          row_norms(128, 36928, true),
          row_norms(32, 1 << 20, true),
          outer_norms(64, 32, 32),
          outer_norms(1024, 120, 256),
          outer_norms(4096, 2048, 2048),
          estimated_norms(32, 128, 128, 512, 8),
          estimated_norms(4, 1024, 768, 768, 8),
          ghost_norms(16, 16, 64, 64),
          ghost_norms(32, 128, 128, 128),
          ghost_norms(32, 100, 768, 768),
          ghost_norms(32, 32, 512, 2048),
          direct_norms(16, 16, 64, 64),
          direct_norms(32, 128, 128, 128),
          direct_norms(32, 128, 128, 512),
          direct_norms(8, 512, 256, 256),
          embedding_norms(16, 32, 32, 100),
          embedding_norms(32, 128, 128, 1000),
          embedding_norms(32, 100, 768, 50257),
          tied_cross_norms(16, 32, 64, 500),
          tied_cross_norms(8, 128, 256, 5000)};
}

}  // namespace sotto

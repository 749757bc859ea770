#include <cmath>

#include "engine/roofline/case.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/embedding_norms/embedding_norms.h"
#include "kernels/ghost_norms/ghost_norms.h"

namespace sotto {
namespace {

// As of the same operations on samples of one length (cases_norms.cpp, cases_sums.cpp).
constexpr double kNormTolerance = 2e-3, kSumTolerance = 1e-4;

// B samples with 1 up to T rows in even steps, packed without padding: what Poisson batches, packed sequences and units
// of several records look like. n rows in all, (T + 1)/2 a sample. LibTorch's operators want them padded to T.
struct Packed {
  std::vector<int64_t> starts;
  int64_t longest;

  Packed(int64_t B, int64_t T) : starts{0}, longest(T) {
    for (int64_t i = 0; i < B; ++i) starts.push_back(starts.back() + 1 + i * (T - 1) / (B - 1));
  }
  int64_t samples() const { return static_cast<int64_t>(starts.size()) - 1; }
  double rows() const { return double(starts.back()); }
  // Σ n_i (n_i + 1) / 2: pairs of a sample's rows.
  double pairs() const {
    double sum = 0;
    for (int64_t i = 0; i < samples(); ++i) {
      const double own = double(starts[static_cast<size_t>(i) + 1] - starts[static_cast<size_t>(i)]);
      sum += own * (own + 1) / 2;
    }
    return sum;
  }
};

// The same on a site, with what padding needs: where each row lies in [B · T].
struct Batch {
  at::Tensor starts, sample, place;
  int64_t samples, longest;

  Batch(const Packed& packed, const Site& site)
      : starts(at::tensor(packed.starts, at::kLong).to(site.device)),
        sample(at::repeat_interleave(starts.diff())),
        place(sample * packed.longest + at::arange(packed.starts.back(), starts.options()) - starts.index({sample})),
        samples(packed.samples()),
        longest(packed.longest) {}
  kernels::Segments segments() const { return {samples, longest, starts.const_data_ptr<int64_t>()}; }
  // [rows, columns] as [B, T, columns], 0 behind a sample's rows.
  at::Tensor padded(const at::Tensor& rows) const {
    return at::zeros({samples * longest, rows.size(1)}, rows.options())
        .index_copy_(0, place, rows)
        .view({samples, longest, -1});
  }
};

const std::vector<int64_t> kBehindBatch = {1, 2};

using RaggedNorms = void (*)(const Exec&, MatrixView<const float>, MatrixView<const float>, const kernels::Segments&,
                             bool, VectorView<double>);

// Bytes 4n(d + p) + 8(B + 1) + 16B.
RooflineCase product_norms(int64_t B, int64_t T, int64_t D, int64_t P, RaggedNorms accumulate,
                           at::Tensor (*composite)(const at::Tensor& a, const at::Tensor& g)) {
  const Packed packed(B, T);
  return {.kernel = "",
          .folder = "ghost_norms",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"p", P}},
          .composite = "",
          .bytes = 4 * packed.rows() * double(D + P) + 24 * double(B) + 8,
          .flops = 0,
          .tolerance = kNormTolerance,
          .make = [=](const Site& site) {
            const Batch batch(packed, site);
            const int64_t n = packed.starts.back();
            const at::Tensor a = site.normals({n, D}, 1), g = site.normals({n, P}, 2);
            const at::Tensor squared = site.zeros({B}, at::kDouble);
            return Contest{[=] {
                             accumulate(site.exec, in(a), in(g), batch.segments(), false, vector_out<double>(squared));
                             return Tensors{squared};
                           },
                           [=] { return Tensors{composite(batch.padded(a), batch.padded(g))}; }};
          }};
}

// FLOPs Σ n_i (n_i + 1)(d + p).
RooflineCase ghost_norms(int64_t B, int64_t T, int64_t D, int64_t P) {
  RooflineCase made =
      product_norms(B, T, D, P, kernels::accumulate_ragged_ghost_norms, [](const at::Tensor& a, const at::Tensor& g) {
        return at::bmm(a, a.transpose(1, 2)).mul_(at::bmm(g, g.transpose(1, 2))).sum(kBehindBatch);
      });
  made.kernel = "accumulate_ragged_ghost_norms";
  made.composite = "pad A and G, bmm A Aᵀ, bmm G Gᵀ, multiply, sum";
  made.flops = 2 * Packed(B, T).pairs() * double(D + P);
  return made;
}

// FLOPs 2npd + 2Bpd.
RooflineCase direct_norms(int64_t B, int64_t T, int64_t D, int64_t P) {
  RooflineCase made =
      product_norms(B, T, D, P, kernels::accumulate_ragged_direct_norms, [](const at::Tensor& a, const at::Tensor& g) {
        return at::linalg_vector_norm(at::bmm(g.transpose(1, 2), a), 2, kBehindBatch).square_();
      });
  made.kernel = "accumulate_ragged_direct_norms";
  made.composite = "pad A and G, bmm Gᵀ A, vector_norm, square";
  made.flops = 2 * (Packed(B, T).rows() + double(B)) * double(D * P);
  return made;
}

// Bytes 8n of ids, 4nd of gradients, 8(B + 1) + 16B; FLOPs 2nd.
RooflineCase embedding_norms(int64_t B, int64_t T, int64_t D, int64_t V) {
  const Packed packed(B, T);
  const double n = packed.rows();
  return {.kernel = "accumulate_ragged_embedding_norms",
          .folder = "embedding_norms",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"V", V}},
          .composite = "pad ids and G, bmm G Gᵀ, masked by equal ids, sum",
          .bytes = n * (8 + 4 * double(D)) + 24 * double(B) + 8,
          .flops = 2 * n * double(D),
          .tolerance = kNormTolerance,
          .make = [=](const Site& site) {
            const Batch batch(packed, site);
            const int64_t rows = packed.starts.back();
            const at::Tensor ids = site.ids({rows}, V, 1), g = site.normals({rows, D}, 2);
            const at::Tensor squared = site.zeros({B}, at::kDouble);
            return Contest{[=] {
                             kernels::accumulate_ragged_embedding_norms(site.exec, vector_in<int64_t>(ids), in(g),
                                                                        batch.segments(), -1,
                                                                        vector_out<double>(squared));
                             return Tensors{squared};
                           },
                           [=] {
                             const at::Tensor wide = batch.padded(g), id = batch.padded(ids.view({-1, 1})).squeeze(2);
                             const at::Tensor equal = id.unsqueeze(2).eq(id.unsqueeze(1));
                             return Tensors{at::bmm(wide, wide.transpose(1, 2)).mul_(equal).sum(kBehindBatch)};
                           }};
          }};
}

// Table and head have the same rows here, q = Σ n_i² pairs. Bytes 8n + 8nd + 4q (the entries of g_head that are met) +
// 8(B + 1) + 16B; FLOPs 2q(d + 1).
RooflineCase tied_cross_norms(int64_t B, int64_t T, int64_t D, int64_t V) {
  const Packed packed(B, T);
  const double n = packed.rows(), pairs = 2 * packed.pairs() - n;
  return {.kernel = "accumulate_ragged_tied_cross_norms",
          .folder = "embedding_norms",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"V", V}},
          .composite = "pad all, bmm A Gᵀ, gather of g_head, multiply, sum",
          .bytes = n * (8 + 8 * double(D)) + 4 * pairs + 24 * double(B) + 8,
          .flops = 2 * pairs * double(D + 1),
          .tolerance = kNormTolerance,
          .make = [=](const Site& site) {
            const Batch batch(packed, site);
            const int64_t rows = packed.starts.back();
            // Of one sign, so that the cross term is large against the bound on its error, which is added to it.
            const at::Tensor ids = site.ids({rows}, V, 1), g = site.normals({rows, D}, 2).abs_();
            const at::Tensor a = site.normals({rows, D}, 3).abs_(), head = site.normals({rows, V}, 4).abs_();
            const at::Tensor squared = site.zeros({B}, at::kDouble);
            return Contest{[=] {
                             kernels::accumulate_ragged_tied_cross_norms(site.exec, vector_in<int64_t>(ids), in(g),
                                                                         batch.segments(), -1, in(a), in(head),
                                                                         batch.segments(), vector_out<double>(squared));
                             return Tensors{squared};
                           },
                           [=] {
                             const at::Tensor id = batch.padded(ids.view({-1, 1})).transpose(1, 2).expand({B, T, T});
                             const at::Tensor met = at::gather(batch.padded(head), 2, id);
                             const at::Tensor products = at::bmm(batch.padded(a), batch.padded(g).transpose(1, 2));
                             return Tensors{products.mul_(met).sum(kBehindBatch).mul_(2)};
                           }};
          }};
}

at::Tensor factors(const Site& site, int64_t samples) {
  return site.normals({samples}, 9).sigmoid_();  // in (0, 1), as of samples that are clipped
}

// Bytes 4n(p + d) + 8(B + 1) + 4B, and 8(pd + p) for the sums that are added to; FLOPs 2npd + 3np. Rows need no
// padding here, but each its sample's factor.
RooflineCase clipped_outer(int64_t B, int64_t T, int64_t D, int64_t P) {
  const Packed packed(B, T);
  const double n = packed.rows(), d = double(D), p = double(P);
  return {.kernel = "accumulate_ragged_clipped_outer",
          .folder = "clipped_sum",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"p", P}},
          .composite = "a factor a row, multiply the narrower of A and G, addmm, addmv",
          .bytes = 4 * n * (p + d) + 12 * double(B) + 8 + 8 * (p * d + p),
          .flops = 2 * n * p * d + 3 * n * p,
          .tolerance = kSumTolerance,
          .make = [=](const Site& site) {
            const Batch batch(packed, site);
            const int64_t rows = packed.starts.back();
            const at::Tensor a = site.normals({rows, D}, 1), g = site.normals({rows, P}, 2), f = factors(site, B);
            const at::Tensor weight = site.zeros({P, D}), bias = site.zeros({P});
            const at::Tensor other_weight = site.zeros({P, D}), other_bias = site.zeros({P});
            return Contest{[=] {
                             kernels::accumulate_ragged_clipped_outer(site.exec, in(g), in(a), vector_in(f),
                                                                      batch.segments(), out(weight), vector_out(bias));
                             return Tensors{weight, bias};
                           },
                           [=] {
                             const at::Tensor each = f.index_select(0, batch.sample), column = each.unsqueeze(1);
                             if (P <= D)
                               other_weight.addmm_(at::mul(g, column).t(), a);
                             else
                               other_weight.addmm_(g.t(), at::mul(a, column));
                             other_bias.addmv_(g.t(), each);
                             return Tensors{other_weight, other_bias};
                           }};
          }};
}

// U = V(1 − (1 − 1/V)^n) rows of the sum are met on average. Bytes 8n + 4nd + 8(B + 1) + 4B + 8Ud; FLOPs 2nd.
RooflineCase clipped_embedding(int64_t B, int64_t T, int64_t D, int64_t V) {
  const Packed packed(B, T);
  const double n = packed.rows(), d = double(D), v = double(V), met = -v * std::expm1(n * std::log1p(-1 / v));
  return {.kernel = "accumulate_ragged_clipped_embedding",
          .folder = "clipped_sum",
          .shape = {{"B", B}, {"T", T}, {"d", D}, {"V", V}},
          .composite = "a factor a row, multiply, index_add",
          .bytes = n * (8 + 4 * d) + 12 * double(B) + 8 + 8 * met * d,
          .flops = 2 * n * d,
          .tolerance = kSumTolerance,
          .make = [=](const Site& site) {
            const Batch batch(packed, site);
            const int64_t rows = packed.starts.back();
            const at::Tensor ids = site.ids({rows}, V, 1), g = site.normals({rows, D}, 2), f = factors(site, B);
            const at::Tensor sum = site.zeros({V, D}), other = site.zeros({V, D});
            return Contest{[=] {
                             kernels::accumulate_ragged_clipped_embedding(site.exec, vector_in<int64_t>(ids), in(g),
                                                                          vector_in(f), batch.segments(), -1, out(sum));
                             return Tensors{sum};
                           },
                           [=] {
                             other.index_add_(0, ids, at::mul(g, f.index_select(0, batch.sample).unsqueeze(1)));
                             return Tensors{other};
                           }};
          }};
}

}  // namespace

std::vector<RooflineCase> ragged_contests() {
  return {
      ghost_norms(16, 16, 64, 64),       ghost_norms(32, 128, 128, 128),      direct_norms(16, 16, 64, 64),
      direct_norms(32, 128, 128, 512),   embedding_norms(16, 32, 32, 100),    embedding_norms(32, 128, 128, 1000),
      tied_cross_norms(16, 32, 64, 500), tied_cross_norms(8, 128, 256, 5000), clipped_outer(16, 16, 64, 64),
      clipped_outer(32, 128, 128, 128),  clipped_embedding(16, 32, 32, 100),  clipped_embedding(32, 128, 128, 1000)};
}

}  // namespace sotto

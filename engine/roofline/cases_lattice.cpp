#include <cmath>

#include "engine/roofline/case.h"
#include "kernels/lattice/lattice.h"

namespace sotto {
namespace {

using kernels::Rounding;
using kernels::Uint128;

// The lattice's sums are exact; the composites' are of doubles.
constexpr double kTolerance = 1e-9;

// Rows of norm about 1 for a clip norm of 1 and a noise multiplier of 1, all rounded to nearest.
struct Rows {
  at::Tensor x, factors, roundings;
  double step = kernels::lattice_step(kernels::lattice_bound(1), 1);
  Rows(const Site& site, int64_t B, int64_t P)
      : x(site.normals({B, P}, 1).mul_(1 / std::sqrt(double(P)))),
        factors(site.normals({B}, 9).sigmoid_()),
        roundings(site.zeros({B}, at::kChar)) {
    static_assert(sizeof(Rounding) == 1 && Rounding::nearest == Rounding{});
  }
  VectorView<const Rounding> rounding() const {
    return {static_cast<const Rounding*>(roundings.const_data_ptr()), roundings.numel()};
  }
  at::Tensor points() const { return at::mul(x, factors.to(at::kDouble).div_(step).unsqueeze(1)).round_(); }
};

// Low and high words of 128-bit integers.
at::Tensor as_doubles(const at::Tensor& words) {
  const at::Tensor low = words.select(1, 0), high = words.select(1, 1).to(at::kDouble);
  const at::Tensor unsigned_low = at::where(low.lt(0), low.to(at::kDouble) + 0x1p64, low.to(at::kDouble));
  return high * 0x1p64 + unsigned_low;
}

// Bytes 4BP + 5B, and 32B for the norms that are added to. FLOPs 3BP: scale, round, square; sums are of integers.
RooflineCase lattice_norms(int64_t B, int64_t P) {
  const double b = double(B), p = double(P);
  return {.kernel = "accumulate_lattice_norms",
          .folder = "lattice",
          .shape = {{"B", B}, {"P", P}},
          .composite = "multiply and round in doubles, vector_norm, square",
          .bytes = 4 * b * p + 37 * b,
          .flops = 3 * b * p,
          .tolerance = kTolerance,
          .make = [=](const Site& site) {
            const Rows rows(site, B, P);
            const at::Tensor squared = site.zeros({B, 2}, at::kLong);
            const auto sotto = [=] {
              kernels::accumulate_lattice_norms(site.exec, in(rows.x), vector_in(rows.factors), rows.rounding(),
                                                rows.step, {static_cast<Uint128*>(squared.mutable_data_ptr()), B});
              return Tensors{squared};
            };
            const auto composite = [=] {
              return Tensors{at::linalg_vector_norm(rows.points(), 2, at::IntArrayRef{1}).square_()};
            };
            return Contest{sotto, composite, [=] { return std::pair(Tensors{as_doubles(sotto()[0])}, composite()); }};
          }};
}

// Bytes 4BP + 5B, and 16P for the sums that are added to. FLOPs 2BP: scale and round; sums are of integers.
RooflineCase on_lattice(int64_t B, int64_t P) {
  const double b = double(B), p = double(P);
  return {.kernel = "accumulate_on_lattice",
          .folder = "lattice",
          .shape = {{"B", B}, {"P", P}},
          .composite = "multiply and round in doubles, cast, sum, add",
          .bytes = 4 * b * p + 5 * b + 16 * p,
          .flops = 2 * b * p,
          .tolerance = 0,
          .make = [=](const Site& site) {
            const Rows rows(site, B, P);
            const at::Tensor sums = site.zeros({P}, at::kLong), other = site.zeros({P}, at::kLong);
            return Contest{[=] {
                             kernels::accumulate_on_lattice(site.exec, in(rows.x), vector_in(rows.factors),
                                                            rows.rounding(), rows.step, vector_out<int64_t>(sums));
                             return Tensors{sums};
                           },
                           [=] {
                             other.add_(rows.points().to(at::kLong).sum(0));
                             return Tensors{other};
                           }};
          }};
}

}  // namespace

std::vector<RooflineCase> lattice_contests() {
  return {lattice_norms(64, 1000), lattice_norms(128, 36928), on_lattice(64, 1000), on_lattice(128, 36928),
          on_lattice(32, 1 << 20)};
}

}  // namespace sotto

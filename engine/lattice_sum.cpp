#include "engine/lattice_sum.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/lattice/discrete_gaussian.h"

namespace sotto {
namespace {

using kernels::Rounding;
using kernels::Uint128;

// How a sample's integers are made so that their norm is within the bound: found by computing it.
at::Tensor roundings_within(const Exec& exec, const GradSamples& grads, const std::vector<int64_t>& groups,
                            const at::Tensor& factors, const kernels::Lattice& lattice) {
  const at::TensorOptions options = factors.options();
  at::Tensor chosen = at::zeros({grads.batch}, options.dtype(at::kChar));  // nearest
  for (;;) {
    at::Tensor squared = at::zeros({grads.batch, 2}, options.dtype(at::kLong));
    for (size_t k = 0; k < grads.parameters.size(); ++k) {
      const at::Tensor& rows = grads.parameters[k].stored.front();
      kernels::accumulate_lattice_norms(
          exec, {rows.const_data_ptr<float>(), rows.size(0), rows.size(1)},
          {factors.const_data_ptr<float>() + groups[k] * grads.batch, grads.batch},
          {reinterpret_cast<const Rounding*>(chosen.const_data_ptr<int8_t>()), grads.batch}, lattice.step,
          {reinterpret_cast<Uint128*>(squared.mutable_data_ptr<int64_t>()), grads.batch});
    }
    at::Tensor shortened = chosen.cpu();
    const at::Tensor norms = squared.cpu();
    if (kernels::shorten_beyond({reinterpret_cast<const Uint128*>(norms.const_data_ptr<int64_t>()), grads.batch},
                                lattice.squared_bound,
                                {reinterpret_cast<Rounding*>(shortened.mutable_data_ptr<int8_t>()), grads.batch}) == 0)
      return chosen;
    chosen = shortened.to(chosen.device());
  }
}

}  // namespace

int64_t samples_at_once(const Parameters& parameters) {
  constexpr int64_t kBytes = int64_t{64} << 20;
  return std::max<int64_t>(1, kBytes / (parameters.elements() * static_cast<int64_t>(sizeof(float))));
}

GradSamples stored_rows(const Parameters& parameters, const GradSamples& grads, int64_t first, int64_t count) {
  GradSamples stored;
  stored.batch = count;
  for (int64_t k = 0; k < parameters.size(); ++k) {
    ParameterSamples samples;
    const at::Tensor& parameter = parameters.tensor(k);
    samples.stored.push_back(gradient_rows(grads, k, parameter.numel(), first, count).to(parameter.device()));
    stored.parameters.push_back(std::move(samples));
  }
  return stored;
}

void add_on_lattice(const Exec& exec, const GradSamples& grads, const std::vector<int64_t>& groups,
                    const at::Tensor& factors, const kernels::Lattice& lattice, std::vector<at::Tensor>& sums) {
  const at::Tensor roundings = roundings_within(exec, grads, groups, factors, lattice);
  for (size_t k = 0; k < grads.parameters.size(); ++k) {
    const at::Tensor& rows = grads.parameters[k].stored.front();
    kernels::accumulate_on_lattice(exec, {rows.const_data_ptr<float>(), rows.size(0), rows.size(1)},
                                   {factors.const_data_ptr<float>() + groups[k] * grads.batch, grads.batch},
                                   {reinterpret_cast<const Rounding*>(roundings.const_data_ptr<int8_t>()), grads.batch},
                                   lattice.step, {sums[k].mutable_data_ptr<int64_t>(), sums[k].numel()});
  }
}

at::Tensor noised_on_lattice(const Exec& exec, const StreamKey& stream, const kernels::Lattice& lattice,
                             const at::Tensor& sum) {
  const VectorView<int64_t> points = {sum.mutable_data_ptr<int64_t>(), sum.numel()};
  kernels::add_discrete_gaussian(exec, stream, kernels::kLatticeScale, points);
  at::Tensor scaled = at::empty(sum.sizes(), sum.options().dtype(at::kFloat));
  kernels::scale_from_lattice(exec, {points.data, points.size}, lattice.step,
                              {scaled.mutable_data_ptr<float>(), scaled.numel()});
  return scaled;
}

}  // namespace sotto

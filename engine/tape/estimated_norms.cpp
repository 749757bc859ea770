#include "engine/tape/estimated_norms.h"

#include <cmath>

#include "base/error.h"
#include "kernels/estimated_norms/estimated_norms.h"
#include "kernels/noise/noise.h"

namespace sotto {
namespace {

bool is_estimated(const ParameterSamples& samples) {
  return samples.factored.size() == 1 && samples.factored[0].length > 1 &&
         samples.factored[0].gradient.scalar_type() == at::kFloat && !samples.factored[0].starts.defined() &&
         samples.indexed.empty() && samples.stored.empty() && samples.recomputed.empty();
}

}  // namespace

EstimatedNorms estimate_norms(const Exec& exec, const Parameters& parameters, const GradSamples& grads, int64_t probes,
                              const StreamKey& stream) {
  require(probes >= 1, "an estimate needs at least one probe, got ", probes);
  const at::NoGradGuard no_grad;
  at::Tensor squared = at::zeros({grads.batch}, parameters.tensor(0).options().dtype(at::kDouble).requires_grad(false));
  const VectorView<double> out = {squared.mutable_data_ptr<double>(), grads.batch};
  GradSamples others = grads;
  others.beside = nullptr;
  int64_t drawn = 0;
  for (ParameterSamples& samples : others.parameters) {
    if (!is_estimated(samples)) continue;
    const FactoredUse use = samples.factored[0];
    samples.factored.clear();
    const int64_t d = use.activation.size(1), p = use.gradient.size(1), rows = use.activation.size(0);
    at::Tensor vectors = at::empty({probes, d}, use.activation.options());
    kernels::fill_gaussian(exec, stream, 1.0, {vectors.mutable_data_ptr<float>(), vectors.numel()}, drawn);
    drawn += (vectors.numel() + 7) / 8 * 8;  // a stream is cut at multiples of 8
    kernels::estimate_product_norms(exec, {use.activation.const_data_ptr<float>(), rows, d},
                                    {use.gradient.const_data_ptr<float>(), rows, p}, use.length,
                                    {vectors.const_data_ptr<float>(), probes, d}, out);
  }
  add_squared_norms(exec, parameters, others, squared);
  const at::Tensor roots = squared.sqrt_().cpu();
  return EstimatedNorms({roots.const_data_ptr<double>(), roots.const_data_ptr<double>() + grads.batch});
}

}  // namespace sotto

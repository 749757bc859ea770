#include "engine/private_step.h"

#include <cmath>

#include "base/error.h"
#include "kernels/clip/clip.h"

namespace sotto {

PrivateStep::PrivateStep(const Exec& exec, const Parameters& parameters, const PrivacyPlan& plan, int64_t units,
                         std::function<void(uint64_t step)> charge, GradientSource gradients)
    : exec_(exec),
      parameters_(parameters),
      sampler_(plan.sampler(units)),
      clipping_(plan.clipping()),
      noise_(plan.noise()),
      charge_(std::move(charge)),
      gradients_(std::move(gradients)) {}

PrivateGradient PrivateStep::next(uint64_t step) {
  charge_(step);                            // durable before anything private is read
  const Batch batch = sampler_.draw(step);  // exactly the sampling that the charged event claims
  ClippedSum sum = clip(exec_, parameters_, clipping_, batch, gradients_, diagnostics_);
  return add_noise(std::move(sum), noise_, step);
}

ClippedSum clip(const Exec& exec, const Parameters& parameters, const Clipping& clipping, const Batch& batch,
                const GradientSource& gradients, StepDiagnostics& diagnostics) {
  if (batch.size() > clipping.batch_cap())
    throw Error(ErrorKind::internal, cat("a Poisson batch of ", batch.size(), " units exceeds the public cap of ",
                                         clipping.batch_cap(), ", which happens with probability below 1e-18"));
  for (size_t i = 1; i < batch.units.size(); ++i)
    require(batch.units[i - 1] < batch.units[i],
            cat("unit ", batch.units[i], " is in the batch twice or out of order"));

  std::vector<at::Tensor> sums;
  const auto make_sums = [&] {  // as late as possible: the backward pass is when memory is scarce
    for (int64_t k = static_cast<int64_t>(sums.size()); k < parameters.size(); ++k)
      sums.push_back(at::zeros_like(parameters.tensor(k)).detach());
  };
  diagnostics = {.batch_size = batch.size()};
  const at::NoGradGuard no_grad;
  double loss = 0;
  int64_t finite = 0;
  for (size_t first = 0; first < batch.units.size(); first += static_cast<size_t>(clipping.microbatch())) {
    const size_t last = std::min(batch.units.size(), first + static_cast<size_t>(clipping.microbatch()));
    GradSamples grads = gradients({batch.units.begin() + static_cast<std::ptrdiff_t>(first),
                                   batch.units.begin() + static_cast<std::ptrdiff_t>(last)});
    require(grads.batch == static_cast<int64_t>(last - first) &&
                static_cast<int64_t>(grads.parameters.size()) == parameters.size(),
            cat("need a gradient a unit: ", grads.batch, " for ", last - first, " units"));
    at::Tensor squared =
        at::zeros({grads.batch}, parameters.tensor(0).options().dtype(at::kDouble).requires_grad(false));
    at::Tensor factors = at::empty({grads.batch}, squared.options().dtype(at::kFloat));
    add_squared_norms(exec, parameters, grads, squared);
    kernels::clip_factors(exec, {squared.const_data_ptr<double>(), grads.batch}, clipping.clip_norm(),
                          {factors.mutable_data_ptr<float>(), grads.batch});
    make_sums();
    add_clipped(exec, grads, factors, sums);

    const at::Tensor on_host = factors.cpu();
    const kernels::ClipCount count = kernels::count_clipped({on_host.const_data_ptr<float>(), on_host.numel()});
    diagnostics.non_finite += count.non_finite;
    diagnostics.clipped += count.clipped + count.non_finite;  // a dropped sample counts as clipped, too
    for (double value : grads.losses)
      if (std::isfinite(value)) loss += value, ++finite;
  }
  make_sums();
  diagnostics.mean_loss = finite > 0 ? loss / static_cast<double>(finite) : 0.0;
  return ClippedSum(std::move(sums), clipping.l2_sensitivity());
}

PrivateGradient add_noise(ClippedSum&& sum, const Noise& noise, uint64_t step) {
  const double stddev = noise.noise_multiplier() * sum.l2_sensitivity();
  return PrivateGradient(std::move(sum), stddev, noise.key(), step);
}

}  // namespace sotto

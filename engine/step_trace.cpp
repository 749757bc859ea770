#include "engine/step_trace.h"

#include <cmath>

#include "kernels/clip/clip.h"

namespace sotto {
namespace {

// One after the other, on the host.
at::Tensor joined(const std::vector<at::Tensor>& parts, at::ScalarType type) {
  return parts.empty() ? at::empty({0}, type) : at::cat(parts).to(at::kCPU, type).contiguous();
}

}  // namespace

void StepTrace::add(at::Tensor norms, at::Tensor factors) {
  norms_.push_back(std::move(norms));
  factors_.push_back(std::move(factors));
}

void StepTrace::add_losses(at::Tensor losses) {
  losses_.push_back(std::move(losses));
}

StepDiagnostics StepTrace::diagnostics() const {
  const at::Tensor factors = joined(factors_, at::kFloat), losses = joined(losses_, at::kDouble);
  const kernels::ClipCount count = kernels::count_clipped({factors.const_data_ptr<float>(), factors.numel()});
  StepDiagnostics made = {.batch_size = factors.numel(),
                          .clipped = count.clipped + count.non_finite,  // a dropped sample counts as clipped, too
                          .non_finite = count.non_finite};
  int64_t finite = 0;
  for (int64_t i = 0; i < losses.numel(); ++i)
    if (const double loss = losses.const_data_ptr<double>()[i]; std::isfinite(loss)) made.mean_loss += loss, ++finite;
  if (finite > 0) made.mean_loss /= static_cast<double>(finite);
  return made;
}

double StepTrace::below(double clip_norm) const {
  const at::Tensor norms = joined(norms_, at::kDouble);
  double below = 0;
  for (int64_t i = 0; i < norms.numel(); ++i) below += norms.const_data_ptr<double>()[i] <= clip_norm ? 0.5 : -0.5;
  return below;
}

}  // namespace sotto

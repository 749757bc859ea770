#include "engine/tape/norms_beside.h"

#include "engine/tape/sequence_norms.h"

namespace sotto {

NormsBeside::NormsBeside(const Exec& exec, const Exec& beside, int64_t parameters, int64_t batch,
                         const at::TensorOptions& options)
    : exec_(exec),
      beside_(beside),
      handed_over_(exec),
      done_(exec),
      squared_(at::zeros({parameters, batch}, options.dtype(at::kDouble).requires_grad(false))),
      measured_(static_cast<size_t>(parameters), false) {}

NormsBeside::~NormsBeside() {
  try {
    wait();
  } catch (...) {  // the device is gone, and with it whoever would read this memory
  }
}

void NormsBeside::measure(int64_t parameter, const ParameterSamples& samples) {
  const bool stored = samples.stored.size() == 1 && samples.factored.empty(),
             factored = samples.factored.size() == 1 && samples.stored.empty() && samples.factored[0].length > 1;
  if (stored == factored || !samples.indexed.empty() || !samples.recomputed.empty() || has(parameter)) return;
  const VectorView<double> out = {squared_.mutable_data_ptr<double>() + parameter * squared_.size(1), squared_.size(1)};
  handed_over_.record(exec_);
  handed_over_.hold_back(beside_);  // what had the memory of the scratch below was started before, too
  if (stored) {
    add_row_norms(beside_, samples.stored[0], out);
    kept_.push_back(samples.stored[0]);
  } else {
    const FactoredUse& use = samples.factored[0];
    const kernels::Segments segments = segments_of(use, squared_.size(1));
    kept_.push_back(add_sequence_norms(beside_, use.activation, use.gradient, segments, use.direct, out));
    kept_.insert(kept_.end(), {use.activation, use.gradient});
  }
  measured_[static_cast<size_t>(parameter)] = true;
}

void NormsBeside::wait() {
  if (kept_.empty()) return;
  done_.record(beside_);
  done_.hold_back(exec_);
  kept_.clear();
}

void NormsBeside::add_to(at::Tensor squared, int64_t parameter) const {
  squared.add_(squared_.select(0, parameter)).mul_(1 + 0x1p-50);  // more than the sum and the product round
}

}  // namespace sotto

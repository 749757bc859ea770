#include "base/error.h"
#include "engine/tape/recorder.h"

namespace sotto {
namespace {

using OptionalTensor = const std::optional<at::Tensor>&;

at::Tensor refuse_batch_norm(const at::Tensor& input, OptionalTensor weight, OptionalTensor bias, OptionalTensor mean,
                             OptionalTensor variance, bool training, double momentum, double epsilon, bool cudnn) {
  const CaptureOff off(kCaptureKey);
  const RecorderPointer recorder = current_recorder();
  const int64_t index = recorder ? recorder->find(weight.value_or(at::Tensor())) : -1;
  if (recorder && training)
    recorder->refuse(
        cat("batch normalisation", index >= 0 ? cat(" (parameter ", recorder->parameters.name(index), ")") : "",
            " mixes the samples of a batch, so no sample's influence can be bounded; replace it by group or "
            "layer normalisation, or freeze it in eval mode"));
  return at::batch_norm(input, weight, bias, mean, variance, training, momentum, epsilon, cudnn);
}

}  // namespace

// Operators that no rule can make private, refused with the way out instead of a generic message.
void register_refusals(torch::Library& library) {
  library.impl("batch_norm", &refuse_batch_norm);
}

}  // namespace sotto

#pragma once
#include "engine/tape/tape.h"
#include "tests/engine/subject.h"

namespace sotto {

// The gradient of every sample's own loss, [batch, elements of all parameters] in double: plain autograd on a double
// copy of the model, one sample at a time. Nothing of the engine is in it but the order of the parameters.
at::Tensor one_at_a_time(const Case& c, const Subject& subject, const at::Tensor& input);

// What the tape makes of a batch.
struct Measured {
  GradSamples grads;
  at::Tensor squared;    // [batch], double: bounds of the squared norms
  at::Tensor gradients;  // [batch, elements], double: each sample's gradient, summed with factor 1 for it and 0 elsewhere
};
Measured measure(const Parameters& parameters, GradSamples grads);
Measured measure(Tape& tape, const Parameters& parameters, int64_t batch, const std::function<at::Tensor()>& losses);

// Σ_i factors[i] · gradient_i in the engine's arithmetic, all parameters in one vector.
at::Tensor clipped_sum(const GradSamples& grads, const Parameters& parameters, const at::Tensor& factors);

}  // namespace sotto

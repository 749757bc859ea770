#pragma once
#include <vector>

#include "cuda/stream.h"
#include "engine/tape/grad_samples.h"

namespace sotto {

// Norms that are measured while the backward pass goes on: those of a parameter's gradients as soon as its layer has
// handed them over, on an Exec beside the pass's own. The tensors that they are made of are kept until the pass's Exec
// has been told to wait, so that LibTorch does not give their memory to what runs meanwhile.
class NormsBeside {
 public:
  NormsBeside(const Exec& exec, const Exec& beside, int64_t parameters, int64_t batch,
              const at::TensorOptions& options);
  ~NormsBeside();
  NormsBeside(const NormsBeside&) = delete;
  NormsBeside& operator=(const NormsBeside&) = delete;

  // Where `samples` are all of the parameter's gradients, in one form for which norms need nothing else (stored rows,
  // or factors of several rows a sample); any other parameter is left to add_squared_norms.
  void measure(int64_t parameter, const ParameterSamples& samples);
  bool has(int64_t parameter) const { return measured_[static_cast<size_t>(parameter)]; }
  // The pass's Exec goes on behind all that was measured.
  void wait();
  // squared [batch] += the parameter's, rounded up. After wait().
  void add_to(at::Tensor squared, int64_t parameter) const;

 private:
  Exec exec_, beside_;
  Event handed_over_, done_;
  at::Tensor squared_;  // [parameters, batch]
  std::vector<bool> measured_;
  std::vector<at::Tensor> kept_;
};

}  // namespace sotto

#pragma once
#include <torch/optim/sgd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "engine/optimizer.h"
#include "engine/private_step.h"
#include "engine/site.h"
#include "engine/step_bench/bench_task.h"
#include "engine/tape/tape.h"

namespace sotto {

struct StepBench;

// How a private step goes through its batch.
struct StepWay {
  int64_t microbatch;                        // samples passed at once; 0: the batch
  int64_t memory_limit;                      // bytes that may be kept from the backward pass until the clipped sum
  at::ScalarType product_type = at::kFloat;  // as the tape's
  bool operator==(const StepWay&) const = default;
};

// LibTorch's own: forward (under its autocast where products are of bfloat16), backward, SGD with momentum.
class PlainStep {
 public:
  PlainStep(const std::string& model, int64_t batch, const Site& site, at::ScalarType product_type);
  void operator()();

 private:
  at::Tensor losses() const;

  BenchTask task_;
  Exec exec_;
  at::ScalarType product_type_;
  std::unique_ptr<torch::optim::SGD> optimizer_;
};

// What one pass over a micro-batch shows of a model.
struct Survey {
  ModelStructure structure;
  NormMethods methods;  // the fastest on this machine within the limit
  StepWay way;
};
Survey survey(const std::string& model, int64_t batch, const Site& site, const StepWay& way);

// The step that training takes, but for the charge and the draw, which are timed by themselves. One unit a sample, each
// of them in every batch.
class PrivateRound {
 public:
  PrivateRound(const std::string& model, int64_t batch, const Site& site, const Survey& known, bool record_passes);
  PrivateRound(const PrivateRound&) = delete;
  void operator()();
  int64_t batch() const { return task_.inputs.size(0); }
  int64_t parameters() const { return parameters_.elements(); }
  void explain_to(StepBench& result);

 private:
  BenchTask task_;
  Exec exec_;
  Parameters parameters_;
  Tape tape_;
  PrivacyPlan plan_;
  PrivateStep step_;
  Optimizer optimizer_;
  uint64_t number_ = 0;
};

}  // namespace sotto

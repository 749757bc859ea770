#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/torch.h"
#include "engine/torch_graph/recorder.h"

namespace sotto {

// Work on the records of a micro-batch that is recorded once and started as one from then on: on a GPU a graph of
// kernels, whose host code runs no more. It repeats what was recorded: the same tensors at the same places, and nothing
// that was decided by a value on the host. On the CPU it is the work that was recorded itself, so that what repeats is
// the same on both.
class PassGraph {
 public:
  // From int64 [n], where the model is, to what is known of each record. May not depend on anything else that changes
  // from call to call but the contents of tensors that stay where they are.
  using Work = std::function<std::vector<at::Tensor>(const at::Tensor& records)>;

  explicit PassGraph(Work work) : work_(std::move(work)) {}

  // work(records). The first calls run it plainly, which lets libraries take what they keep; then it is recorded for
  // this number of records, and any other number runs plainly. What comes back is the caller's.
  std::vector<at::Tensor> run(const at::Tensor& records);

  bool recorded() const { return recorded_; }
  // Why there is no recording though there should be; the work runs plainly from then on.
  const std::string& refusal() const { return refusal_; }

 private:
  void record(const at::Tensor& records);

  Work work_;
  int64_t plain_calls_ = 0;
  bool recorded_ = false;
  std::string refusal_;
  at::Tensor records_;               // the recording's own
  std::vector<at::Tensor> results_;  // the recording's own
  std::unique_ptr<TorchRecorder> on_gpu_;
};

}  // namespace sotto

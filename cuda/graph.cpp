#include "cuda/graph.h"

#include "base/error.h"
#include "cuda/recording.h"

namespace sotto {

void Graph::capture(const Exec& exec, std::function<void(const Exec&)> work) {
  forget();
  if (exec.on_cuda())
    executable_ = record_graph(work);
  else
    work_ = std::move(work);
}

void Graph::replay(const Exec& exec) const {
  require(exec.on_cuda() ? executable_ != nullptr : work_ != nullptr, "no work was recorded for ",
          exec.on_cuda() ? "CUDA" : "the CPU");
  if (exec.on_cuda())
    start_graph(executable_, exec);
  else
    work_(exec);
}

void Graph::forget() noexcept {
  work_ = nullptr;
  if (executable_) destroy_graph(executable_);
  executable_ = nullptr;
}

}  // namespace sotto

#pragma once
#include <functional>

#include "cuda/exec.h"

namespace sotto {

// Work that is recorded once and started as one from then on, which saves a launch a kernel. It repeats the kernels
// with the arguments that they were recorded with: what may change lies behind a pointer among them. On the CPU it is
// `work` itself, so that what repeats is the same on both.
class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() { forget(); }

  // Records `work` for `exec`'s device in place of what was recorded before; nothing runs yet. On CUDA the Exec that
  // `work` gets is a stream of the recording's own: it may launch there, but neither allocate nor wait. Throws what
  // `work` throws, and cuda with the runtime's message.
  void capture(const Exec& exec, std::function<void(const Exec&)> work);
  // Starts it on `exec`, in order with what is there. Throws invalid_argument where nothing was recorded.
  void replay(const Exec& exec) const;

 private:
  void forget() noexcept;

  std::function<void(const Exec&)> work_;  // on the CPU
  void* executable_ = nullptr;             // cudaGraphExec_t
};

}  // namespace sotto

#include "cuda/recording.h"

#include <cuda_runtime_api.h>

#include "cuda/check.h"
#include "cuda/stream.h"

namespace sotto {

void* record_graph(const std::function<void(const Exec&)>& work) {
  const Stream stream;  // the default stream cannot be recorded
  cudaGraph_t graph = nullptr;
  // Of this thread alone: LibTorch's allocator may work in another meanwhile.
  cuda_check(cudaStreamBeginCapture(stream.exec().stream(), cudaStreamCaptureModeThreadLocal));
  try {
    work(stream.exec());
  } catch (...) {
    cudaStreamEndCapture(stream.exec().stream(), &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  cuda_check(cudaStreamEndCapture(stream.exec().stream(), &graph));
  cudaGraphExec_t executable = nullptr;
  const cudaError_t made = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  cuda_check(made);
  return executable;
}

void start_graph(void* executable, const Exec& exec) {
  cuda_check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable), exec.stream()));
}

void destroy_graph(void* executable) noexcept {
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable));
}

}  // namespace sotto

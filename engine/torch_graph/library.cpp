#include <ATen/cuda/CUDAGraph.h>

#include "engine/torch_graph/recorder.h"

namespace {

class CudaRecorder final : public sotto::TorchRecorder {
 public:
  // Other threads may go on using the device: only this thread's calls are recorded or refused.
  void begin() override { graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal); }
  void end() override { graph_.capture_end(); }
  void replay() override { graph_.replay(); }

 private:
  at::cuda::CUDAGraph graph_;
};

}  // namespace

sotto::TorchRecorder* sotto_make_torch_recorder() {
  return new CudaRecorder();
}

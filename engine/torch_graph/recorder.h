#pragma once

namespace sotto {

// A CUDA graph of LibTorch's own: what its operators and sotto's kernels start on the current stream, with the memory
// that they take, which nobody else gets while the recorder lives. Lies in a library of its own, libsotto_torch_graph,
// which needs libtorch_cuda and is opened where it is asked for (docs/decisions/001).
class TorchRecorder {
 public:
  virtual ~TorchRecorder() = default;
  // Between the two, work is recorded and not run. The current stream must not be the default one.
  virtual void begin() = 0;
  virtual void end() = 0;
  // Starts it on the current stream.
  virtual void replay() = 0;
};

using MakeTorchRecorder = TorchRecorder* (*)();

}  // namespace sotto

extern "C" sotto::TorchRecorder* sotto_make_torch_recorder();

#include "cuda/stream.h"

#include <cuda_runtime_api.h>

#include "cuda/check.h"

namespace sotto {

Stream::Stream() : stream_(nullptr) {
  cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
}

Stream::~Stream() {
  cudaStreamDestroy(stream_);
}

Event::Event(const Exec& exec) {
  if (!exec.on_cuda()) return;
  cudaEvent_t event = nullptr;
  cuda_check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  event_ = event;
}

Event::~Event() {
  if (event_) cudaEventDestroy(static_cast<cudaEvent_t>(event_));
}

void Event::record(const Exec& exec) {
  if (exec.on_cuda()) cuda_check(cudaEventRecord(static_cast<cudaEvent_t>(event_), exec.stream()));
}

void Event::hold_back(const Exec& exec) const {
  if (exec.on_cuda()) cuda_check(cudaStreamWaitEvent(exec.stream(), static_cast<cudaEvent_t>(event_), 0));
}

}  // namespace sotto

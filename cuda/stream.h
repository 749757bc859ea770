#pragma once
#include "cuda/exec.h"

namespace sotto {

// A stream of its own, which keeps no order with any other unless an Event says so. Throws cuda.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  Exec exec() const { return Exec::cuda(stream_); }

 private:
  CudaStream stream_;
};

// A place in a stream's work that other streams can wait for. On the CPU everything is in order already, and nothing
// happens. Throws cuda.
class Event {
 public:
  explicit Event(const Exec& exec);  // of the device that will record it
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(const Exec& exec);  // behind what was started on `exec` so far
  // What is started on `exec` from now on waits for what was recorded last; the host does not.
  void hold_back(const Exec& exec) const;

 private:
  void* event_ = nullptr;  // cudaEvent_t
};

}  // namespace sotto

#pragma once

struct CUstream_st;

namespace sotto {

using CudaStream = CUstream_st*;  // cudaStream_t, named here so that this header needs no CUDA toolkit

// Where an operation runs: CPU threads, or a CUDA stream. First argument of every kernel; a value, never a global.
class Exec {
 public:
  static Exec cpu(int threads) { return Exec(threads, nullptr, false); }
  static Exec cuda(CudaStream stream) { return Exec(1, stream, true); }
  bool on_cuda() const { return on_cuda_; }
  int threads() const { return threads_; }
  CudaStream stream() const { return stream_; }

 private:
  Exec(int threads, CudaStream stream, bool on_cuda) : threads_(threads), stream_(stream), on_cuda_(on_cuda) {}
  int threads_;
  CudaStream stream_;
  bool on_cuda_;
};

}  // namespace sotto

#pragma once
#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "base/view.h"
#include "cuda/exec.h"
#include "python/torch.h"

namespace sotto::python {

// Where an operator's tensors are: the calling thread's device and stream as PyTorch has set them, or its CPU threads.
inline Exec exec_of(const at::Tensor& tensor) {
  if (!tensor.is_cuda()) return Exec::cpu(at::get_num_threads());
  const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
  return Exec::cuda(static_cast<CudaStream>(guard.getStream(tensor.device()).native_handle()));
}

}  // namespace sotto::python

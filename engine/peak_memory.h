#pragma once
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>

namespace sotto {

// The most bytes that tensors on a device held at once while `work` ran; tensors that exist before count too. On the
// CPU they are counted by an allocator that wraps LibTorch's, on CUDA by LibTorch's own. Not for concurrent use.
int64_t peak_tensor_bytes(const at::Device& device, const std::function<void()>& work);

// Bytes of memory that this process may still take: what the machine has to give, or its control group if that is less.
// What the heap has kept of freed memory is given back first.
int64_t available_memory();

}  // namespace sotto

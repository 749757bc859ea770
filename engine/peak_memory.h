#pragma once
#include <cstdint>
#include <functional>

namespace sotto {

// The most bytes that tensors on the CPU held at once while `work` ran, counted by an allocator that wraps LibTorch's:
// tensors that exist before count too. Not for concurrent use.
int64_t peak_tensor_bytes(const std::function<void()>& work);

}  // namespace sotto

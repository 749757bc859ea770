#pragma once
#include <cuda_runtime.h>

#include "cuda/check.h"
#include "cuda/exec.h"

namespace sotto {

struct Grid {
  dim3 blocks, threads;
  size_t shared_bytes = 0;
};

// The only place where <<< >>> is written: no launch goes unchecked.
template <class... Params, class... Args>
void launch(const Exec& exec, const Grid& grid, void (*kernel)(Params...), Args... args) {
  constexpr size_t always_there = 48 << 10;  // of shared memory; more is asked for
  if (grid.shared_bytes > always_there)
    cuda_check(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared_bytes)));
  kernel<<<grid.blocks, grid.threads, grid.shared_bytes, exec.stream()>>>(args...);
  cuda_check(cudaGetLastError());
}

}  // namespace sotto

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
  kernel<<<grid.blocks, grid.threads, grid.shared_bytes, exec.stream()>>>(args...);
  cuda_check(cudaGetLastError());
}

}  // namespace sotto

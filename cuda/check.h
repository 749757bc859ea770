#pragma once
#include <driver_types.h>

#include <source_location>

namespace sotto {

// Throws cuda with the runtime's message unless `status` is success. Only files that need the CUDA toolkit include
// this.
void cuda_check(cudaError_t status, std::source_location place = std::source_location::current());

}  // namespace sotto

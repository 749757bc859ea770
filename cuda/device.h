#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "cuda/exec.h"

namespace sotto {

// False where there is no device, no driver, or where sotto was built without the CUDA toolkit.
bool cuda_present();

struct CudaDevice {
  std::string name;
  int major, minor;
  size_t memory_bytes;
};
std::vector<CudaDevice> cuda_devices();
std::string cuda_toolkit_version();  // "13.0", or "none" where sotto was built without the toolkit
std::string cuda_driver_version();   // "none" where no driver answers

// Memory and copies; each throws cuda with the runtime's message. Copies are complete when the call returns.
void* device_allocate(size_t bytes);
void device_free(void* data) noexcept;
void copy_to_device(void* device, const void* host, size_t bytes);
void copy_to_host(void* host, const void* device, size_t bytes);
void synchronise(const Exec& exec);

}  // namespace sotto

#include "cuda/device.h"

#include <cuda_runtime_api.h>

#include "base/error.h"
#include "cuda/check.h"

namespace sotto {
namespace {

std::string version_text(int version) {
  return cat(version / 1000, ".", version % 1000 / 10);
}

}  // namespace

void cuda_check(cudaError_t status, std::source_location place) {
  if (status != cudaSuccess) throw Error(ErrorKind::cuda, cat("CUDA: ", cudaGetErrorString(status)), place);
}

bool cuda_present() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

std::vector<CudaDevice> cuda_devices() {
  std::vector<CudaDevice> devices;
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    cuda_check(cudaGetDeviceProperties(&properties, i));
    devices.push_back({properties.name, properties.major, properties.minor, properties.totalGlobalMem});
  }
  return devices;
}

std::string cuda_toolkit_version() {
  return version_text(CUDART_VERSION);
}

std::string cuda_driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess && version > 0 ? version_text(version) : "none";
}

void* device_allocate(size_t bytes) {
  void* data = nullptr;
  cuda_check(cudaMalloc(&data, bytes));
  return data;
}

void device_free(void* data) noexcept {
  cudaFree(data);
}

void copy_to_device(void* device, const void* host, size_t bytes) {
  cuda_check(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
}

void copy_to_host(void* host, const void* device, size_t bytes) {
  cuda_check(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
}

void synchronise(const Exec& exec) {
  if (exec.on_cuda()) cuda_check(cudaStreamSynchronize(exec.stream()));
}

}  // namespace sotto

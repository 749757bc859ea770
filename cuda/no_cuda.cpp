#include "base/error.h"
#include "cuda/device.h"

// Takes the place of device.cpp where sotto is built without the CUDA toolkit.
namespace sotto {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorKind::cuda, "this sotto was built without the CUDA toolkit; install CUDA 13 and build again");
}

}  // namespace

bool cuda_present() {
  return false;
}
std::vector<CudaDevice> cuda_devices() {
  return {};
}
std::string cuda_toolkit_version() {
  return "none";
}
std::string cuda_driver_version() {
  return "none";
}
void* device_allocate(size_t) {
  refuse();
}
void device_free(void*) noexcept {}
void copy_to_device(void*, const void*, size_t) {
  refuse();
}
void copy_to_host(void*, const void*, size_t) {
  refuse();
}
void synchronise(const Exec& exec) {
  if (exec.on_cuda()) refuse();
}

}  // namespace sotto

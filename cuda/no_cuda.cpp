#include "base/error.h"
#include "cuda/device.h"
#include "cuda/recording.h"
#include "cuda/stream.h"

// Takes the place of device.cpp, recording.cpp and stream.cpp where sotto is built without the CUDA toolkit.
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

void* record_graph(const std::function<void(const Exec&)>&) {
  refuse();
}
void start_graph(void*, const Exec&) {
  refuse();
}
void destroy_graph(void*) noexcept {}

Stream::Stream() : stream_(nullptr) {
  refuse();
}
Stream::~Stream() = default;

Event::Event(const Exec& exec) {
  if (exec.on_cuda()) refuse();
}
Event::~Event() = default;
void Event::record(const Exec& exec) {
  if (exec.on_cuda()) refuse();
}
void Event::hold_back(const Exec& exec) const {
  if (exec.on_cuda()) refuse();
}

}  // namespace sotto

#include "engine/site.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include "base/error.h"
#include "cuda/device.h"

namespace sotto {

std::optional<Exec> Site::beside() const {
  if (!exec.on_cuda()) return std::nullopt;
  return second ? second->exec() : exec;
}

at::Tensor Site::normals(at::IntArrayRef sizes, uint64_t seed) const {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed)).to(device);
}

at::Tensor Site::ids(at::IntArrayRef sizes, int64_t below, uint64_t seed) const {
  return at::randint(below, sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kLong).to(device);
}

at::Tensor Site::zeros(at::IntArrayRef sizes, at::ScalarType type) const {
  return at::zeros(sizes, at::TensorOptions(type).device(device));
}

at::Tensor send(const at::Tensor& host, const at::Device& device) {
  if (host.device() == device) return host;
  return device.is_cuda() ? host.pin_memory().to(device, /*non_blocking=*/true) : host.to(device);
}

Site open_site(bool on_cuda, int threads, int streams, bool own_stream) {
  require(threads >= 1, "the number of threads must be at least 1, got ", threads);
  at::set_num_threads(threads);
  if (!on_cuda) return {Exec::cpu(threads), at::kCPU};
  if (!cuda_present())
    throw Error(
        ErrorKind::cuda,
        "device cuda: there is no CUDA device that this sotto can use; `sotto doctor` says what is missing, and device "
        "cpu needs none");
  if (!dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL))
    throw Error(ErrorKind::cuda, cat("device cuda: cannot load LibTorch's GPU library: ", dlerror(),
                                     "; scripts/setup fetches what it needs"));
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowTF32CuDNN(false);
  const at::Device device(at::kCUDA, 0);
  at::empty({1}, at::TensorOptions(device));  // starts LibTorch's CUDA, which knows the stream from then on
  const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
  if (own_stream) guard.exchangeStream(guard.getStreamFromGlobalPool(device));
  return {Exec::cuda(static_cast<CudaStream>(guard.getStream(device).native_handle())), device,
          streams == 1 ? nullptr : std::make_shared<const Stream>()};
}

}  // namespace sotto

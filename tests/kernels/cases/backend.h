#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "base/view.h"
#include "cuda/device_array.h"

namespace sotto::kernels {

enum class Backend { cpu, cuda };

inline const char* name_of(Backend backend) {
  return backend == Backend::cpu ? "Cpu" : "Cuda";
}

// A test that runs on each backend; on CUDA it is skipped where no device is.
class BackendTest : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (GetParam() == Backend::cuda && !cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  }
  bool on_cuda() const { return GetParam() == Backend::cuda; }
  Exec exec(int threads = 1) const { return on_cuda() ? Exec::cuda(nullptr) : Exec::cpu(threads); }
};

#define SOTTO_ON_EACH_BACKEND(Suite)                                              \
  INSTANTIATE_TEST_SUITE_P(, Suite, testing::Values(Backend::cpu, Backend::cuda), \
                           [](const auto& info) { return name_of(info.param); })

// An array between two guard bands, on the host or the device. view() is what an operation gets; read() fetches the
// result and fails the test if a guard was written.
template <class T>
class Guarded {
 public:
  Guarded(const std::vector<T>& values, bool on_cuda) : size_(values.size()), all_(size_ + 2 * kBand, guard()) {
    std::copy(values.begin(), values.end(), all_.begin() + kBand);
    if (on_cuda) device_ = std::make_unique<DeviceArray<T>>(all_);
  }
  T* data() { return (device_ ? device_->data() : all_.data()) + kBand; }
  VectorView<T> view() { return {data(), static_cast<int64_t>(size_)}; }
  std::vector<T> read() {
    if (device_) all_ = device_->to_host();
    const T expected = guard();
    for (size_t k = 0; k < kBand; ++k) {
      EXPECT_EQ(std::memcmp(&all_[k], &expected, sizeof(T)), 0) << "wrote " << kBand - k << " before the output";
      EXPECT_EQ(std::memcmp(&all_[kBand + size_ + k], &expected, sizeof(T)), 0) << "wrote " << k << " past the output";
    }
    return {all_.begin() + kBand, all_.end() - kBand};
  }

 private:
  static constexpr size_t kBand = 64;
  static T guard() {
    if constexpr (std::is_arithmetic_v<T>) return static_cast<T>(-1234567);
    T value;
    std::memset(&value, 0xC5, sizeof(value));  // of a Bfloat16: -6304
    return value;
  }
  size_t size_;
  std::vector<T> all_;
  std::unique_ptr<DeviceArray<T>> device_;
};

}  // namespace sotto::kernels

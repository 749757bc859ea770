#pragma once
#include <vector>

#include "cuda/device.h"

namespace sotto {

// Device memory that frees itself.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& host)
      : data_(static_cast<T*>(device_allocate(host.size() * sizeof(T)))), size_(host.size()) {
    copy_to_device(data_, host.data(), size_ * sizeof(T));
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { device_free(data_); }

  T* data() { return data_; }
  std::vector<T> to_host() const {
    std::vector<T> host(size_);
    copy_to_host(host.data(), data_, size_ * sizeof(T));
    return host;
  }

 private:
  T* data_;
  size_t size_;
};

}  // namespace sotto

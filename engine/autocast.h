#pragma once
#include <string>

#include "engine/torch.h"

namespace sotto {

// While it lives, LibTorch's autocast on this thread makes matrix products of `type` on `device`, and leaves in float
// what it lists to be so; kFloat turns autocast off, whatever the caller had. What was before comes back.
// `keeps_casts`: a weight that several operators take is cast once (LibTorch's default); else each use is a cast of its
// own.
class Autocast {
 public:
  Autocast(c10::DeviceType device, at::ScalarType type, bool keeps_casts = false);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool enabled_, keeps_casts_;
  at::ScalarType type_;
};

// What "float32" or "bfloat16" is to a tape and to Autocast. Throws configuration for another precision.
at::ScalarType product_type(const std::string& precision);

}  // namespace sotto

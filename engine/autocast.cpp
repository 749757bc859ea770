#include "engine/autocast.h"

#include <ATen/autocast_mode.h>

#include "base/error.h"

namespace sotto {

namespace autocast = at::autocast;

Autocast::Autocast(c10::DeviceType device, at::ScalarType type, bool keeps_casts)
    : device_(device),
      enabled_(autocast::is_autocast_enabled(device)),
      keeps_casts_(autocast::is_autocast_cache_enabled()),
      type_(autocast::get_autocast_dtype(device)) {
  autocast::increment_nesting();
  autocast::set_autocast_enabled(device, type != at::kFloat);
  if (type != at::kFloat) autocast::set_autocast_dtype(device, type);
  autocast::set_autocast_cache_enabled(keeps_casts);
}

Autocast::~Autocast() {
  if (autocast::decrement_nesting() == 0) autocast::clear_cache();
  autocast::set_autocast_enabled(device_, enabled_);
  autocast::set_autocast_dtype(device_, type_);
  autocast::set_autocast_cache_enabled(keeps_casts_);
}

at::ScalarType product_type(const std::string& precision) {
  if (precision != "float32" && precision != "bfloat16")
    throw Error(ErrorKind::configuration, cat("a precision must be one of float32, bfloat16, got ", precision));
  return precision == "float32" ? at::kFloat : at::kBFloat16;
}

}  // namespace sotto

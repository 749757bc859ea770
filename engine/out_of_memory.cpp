#include "engine/out_of_memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <new>
#include <regex>
#include <string_view>

namespace sotto {

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) || dynamic_cast<const c10::OutOfMemoryError*>(&error)) return true;
  // LibTorch's allocator of the CPU has no class for it, and neither have the CUDA runtime and cuBLAS.
  const std::string_view text = error.what();
  for (const char* said : {"can't allocate memory", "out of memory", "ALLOC_FAILED"})
    if (text.find(said) != std::string_view::npos) return true;
  return false;
}

std::string asked_for(const std::exception& error) {
  static const std::regex said("[Tt]ried to allocate ([0-9.]+ \\w+)");
  std::cmatch found;
  return std::regex_search(error.what(), found, said) ? found[1].str() : "";
}

void release_cached_memory(const at::Device& device) {
  if (!device.is_cpu()) c10::getDeviceAllocator(device.type())->emptyCache();
}

}  // namespace sotto

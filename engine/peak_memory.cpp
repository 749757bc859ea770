#include "engine/peak_memory.h"

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>

namespace sotto {
namespace {

std::atomic<int64_t> g_live{0}, g_peak{0};

// Forwards to LibTorch's allocator and counts. Installed for good at its first use: tensors outlive any scope, and must
// be freed by the allocator that made them.
class CountingAllocator : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}

  c10::DataPtr allocate(size_t bytes) override {
    struct Block {
      c10::DataPtr data;
      int64_t bytes;
    };
    auto* block = new Block{inner_->allocate(bytes), static_cast<int64_t>(bytes)};
    const int64_t live = g_live += block->bytes;
    int64_t peak = g_peak;
    while (live > peak && !g_peak.compare_exchange_weak(peak, live)) {
    }
    const auto free = [](void* context) {
      auto* owned = static_cast<Block*>(context);
      g_live -= owned->bytes;
      delete owned;
    };
    return {block->data.get(), block, free, block->data.device()};
  }
  void copy_data(void* to, const void* from, std::size_t count) const override { default_copy_data(to, from, count); }

 private:
  c10::Allocator* inner_;
};

}  // namespace

int64_t peak_tensor_bytes(const std::function<void()>& work) {
  static CountingAllocator allocator(c10::GetCPUAllocator());
  static const bool installed = (c10::SetCPUAllocator(&allocator, 1), true);
  (void)installed;
  g_peak = g_live.load();
  work();
  return g_peak;
}

}  // namespace sotto

#include "engine/peak_memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>
#include <string>

namespace sotto {
namespace {

std::atomic<int64_t> g_live{0}, g_peak{0};

// Forwards to LibTorch's allocator and counts, with the size in front of each block, so that the block's address alone
// is enough to free it: oneDNN asks for memory that way. Installed for good at its first use: tensors outlive any
// scope, and must be freed by the allocator that made them.
class CountingAllocator : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) { inner_ = inner; }

  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::kCPU)};
    char* header = static_cast<char*>(inner_->raw_allocate(bytes + kHeader));
    *reinterpret_cast<size_t*>(header) = bytes;
    const int64_t live = g_live += static_cast<int64_t>(bytes);
    int64_t peak = g_peak;
    while (live > peak && !g_peak.compare_exchange_weak(peak, live)) {
    }
    return {header + kHeader, header + kHeader, &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t count) const override { default_copy_data(to, from, count); }

 private:
  static constexpr size_t kHeader = 64;  // LibTorch aligns to 64 bytes, and so must we

  static void release(void* data) {
    if (!data) return;
    char* header = static_cast<char*>(data) - kHeader;
    g_live -= static_cast<int64_t>(*reinterpret_cast<size_t*>(header));
    inner_->raw_deallocate(header);
  }
  static inline c10::Allocator* inner_ = nullptr;
};

// The number behind `name` in a file of words, or of the whole file; without limit where there is none.
int64_t number_in(const char* path, const std::string& name = {}) {
  std::ifstream file(path);
  std::string word;
  while (!name.empty() && word != name && file >> word) {
  }
  int64_t number = 0;
  return file >> number ? number : std::numeric_limits<int64_t>::max();
}

}  // namespace

int64_t available_memory() {
  ::malloc_trim(0);
  constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  const int64_t kibibytes = number_in("/proc/meminfo", "MemAvailable:");
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.stat", "anon");
  return std::min(kibibytes == kNone ? kNone : kibibytes * 1024,
                  limit == kNone || used == kNone ? kNone : limit - used);
}

int64_t peak_tensor_bytes(const at::Device& device, const std::function<void()>& work) {
  if (!device.is_cpu()) {
    c10::DeviceAllocator& own = *c10::getDeviceAllocator(device.type());
    own.resetPeakStats(device.index());
    work();
    return own.getDeviceStats(device.index()).allocated_bytes[0].peak;  // of all kinds of blocks
  }
  static CountingAllocator allocator(c10::GetCPUAllocator());
  static const bool installed = (c10::SetCPUAllocator(&allocator, 1), true);
  (void)installed;
  g_peak = g_live.load();
  work();
  return g_peak;
}

}  // namespace sotto

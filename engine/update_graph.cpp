#include "engine/update_graph.h"

namespace sotto {

void UpdateGraph::send(const at::Device& device, const void* plans, size_t bytes) {
  const auto size = static_cast<int64_t>(bytes);
  const at::Tensor host = at::empty({size}, at::TensorOptions(at::kByte).pinned_memory(device.is_cuda()));
  std::memcpy(host.mutable_data_ptr(), plans, bytes);
  if (!table_.defined() || table_.numel() != size || table_.device() != device) {
    table_ = at::empty({size}, at::TensorOptions(at::kByte).device(device));
    recorded_ = false;  // for another address
  }
  // Behind the last step's work, which may still read what was there. LibTorch keeps `host` until it has been read.
  table_.copy_(host, /*non_blocking=*/true);
}

}  // namespace sotto

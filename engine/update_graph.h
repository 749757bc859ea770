#pragma once
#include <cstring>
#include <utility>
#include <vector>

#include "cuda/graph.h"
#include "engine/torch.h"
#include "kernels/update/planned.h"

namespace sotto {

// The updates of all parameters, recorded once and started as one. A step's plans (its streams, learning rate and sums)
// go to where the tensors are and are read there when the work runs: a step never gets the noise of another.
class UpdateGraph {
 public:
  // Plans of PlannedSgd or PlannedAdam, a parameter each; recorded anew where their sizes or kinds have changed. On
  // CUDA the plans travel pinned, and the host waits for nothing.
  template <class Planned>
  void run(const Exec& exec, const at::Device& device, const std::vector<Planned>& plans) {
    send(device, plans.data(), plans.size() * sizeof(Planned));
    std::vector<kernels::UpdateLaunch> launches;
    for (const Planned& planned : plans) launches.push_back(launch_of(planned));
    if (!recorded_ || launches != launches_) {
      recorded_ = false;
      const auto* const first = static_cast<const Planned*>(table_.const_data_ptr());
      graph_.capture(exec, [first, launches](const Exec& on) {
        for (size_t k = 0; k < launches.size(); ++k) apply(on, launches[k], first + k);
      });
      launches_ = std::move(launches);
      recorded_ = true;
    }
    graph_.replay(exec);
  }

 private:
  void send(const at::Device& device, const void* plans, size_t bytes);

  at::Tensor table_;
  std::vector<kernels::UpdateLaunch> launches_;
  bool recorded_ = false;
  Graph graph_;
};

}  // namespace sotto

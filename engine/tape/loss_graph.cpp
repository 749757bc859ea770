#include "engine/tape/loss_graph.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <unordered_set>

#include "base/error.h"

namespace sotto {

void check_losses(const at::Tensor& losses, int64_t batch) {
  if (losses.dim() != 1 || losses.size(0) != batch)
    throw Error(ErrorKind::configuration, cat("the loss must be a vector with one entry a sample; for ", batch,
                                              " samples it has shape ", losses.sizes()));
}

std::set<int64_t> parameters_reached(const at::Tensor& losses, const Parameters& parameters) {
  std::set<int64_t> found;
  std::vector<torch::autograd::Node*> open = {losses.grad_fn().get()};
  std::unordered_set<torch::autograd::Node*> seen;
  while (!open.empty()) {
    torch::autograd::Node* node = open.back();
    open.pop_back();
    if (!node || !seen.insert(node).second) continue;
    if (const auto* leaf = dynamic_cast<torch::autograd::AccumulateGrad*>(node))
      if (const int64_t index = parameters.find(leaf->variable); index >= 0) found.insert(index);
    for (const auto& edge : node->next_edges()) open.push_back(edge.function.get());
  }
  return found;
}

}  // namespace sotto

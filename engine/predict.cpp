#include "engine/predict.h"

#include <ATen/Parallel.h>

#include "engine/loss.h"

namespace sotto {
namespace {

constexpr int64_t kBlock = 4096;

// Output of the whole table, block by block, on the CPU.
at::Tensor outputs(const Model& model, const at::Tensor& inputs) {
  const at::NoGradGuard no_grad;
  model.train(false);
  std::vector<at::Tensor> blocks;
  for (int64_t first = 0; first < inputs.size(0); first += kBlock)
    blocks.push_back(
        model.forward(inputs.slice(0, first, std::min(first + kBlock, inputs.size(0))).to(model.device())).cpu());
  model.train(true);
  return at::cat(blocks);
}

}  // namespace

std::vector<double> predict(const Model& model, const at::Tensor& inputs) {
  if (inputs.size(0) == 0) return {};
  const at::Tensor values = positive_probability(outputs(model, inputs)).to(at::kDouble).contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

double mean_loss(const Model& model, const Dataset& dataset) {
  return per_sample_loss(outputs(model, dataset.inputs), dataset.labels).to(at::kDouble).mean().item<double>();
}

}  // namespace sotto

#include "engine/models/vit.h"

#include "base/error.h"

namespace sotto {

Vit::Vit(const VitSizes& sizes) {
  using namespace torch::nn;
  const int64_t side = sizes.image / sizes.patch;
  patches_ = register_module("patches", Conv2d(Conv2dOptions(3, sizes.width, sizes.patch).stride(sizes.patch)));
  class_token_ = register_parameter("class_token", at::zeros({1, 1, sizes.width}));
  positions_ = register_parameter("positions", at::randn({1, side * side + 1, sizes.width}) * 0.02);
  const BlockSizes block = {sizes.width,         sizes.heads,   4 * sizes.width,
                            /*causal=*/false,
                            /*norm_first=*/true, /*gelu=*/true, 1e-6};
  for (int64_t i = 0; i < sizes.blocks; ++i)
    blocks_.push_back(register_module(cat("block", i), std::make_shared<TransformerBlock>(block)));
  norm_ = register_module("norm", LayerNorm(LayerNormOptions({sizes.width}).eps(1e-6)));
  head_ = register_module("head", Linear(sizes.width, sizes.outputs));
}

at::Tensor Vit::forward(const at::Tensor& images) {
  const at::Tensor patches = patches_->forward(images).flatten(2).transpose(1, 2);
  at::Tensor x = at::cat({class_token_.expand({images.size(0), -1, -1}), patches}, 1) + positions_;
  for (const auto& block : blocks_) x = block->forward(x);
  return head_->forward(norm_->forward(x.select(1, 0)));
}

}  // namespace sotto

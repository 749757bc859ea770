#include "engine/models/gpt2.h"

#include "base/error.h"

namespace sotto {

Gpt2::Gpt2(const Gpt2Sizes& sizes) {
  using namespace torch::nn;
  tokens_ = register_module("tokens", Embedding(sizes.vocabulary, sizes.width));
  positions_ = register_module("positions", Embedding(sizes.length, sizes.width));
  const BlockSizes block = {sizes.width,     sizes.heads,         4 * sizes.width,
                            /*causal=*/true, /*norm_first=*/true, /*gelu=*/true};
  for (int64_t i = 0; i < sizes.blocks; ++i)
    blocks_.push_back(register_module(cat("block", i), std::make_shared<TransformerBlock>(block)));
  norm_ = register_module("norm", LayerNorm(LayerNormOptions({sizes.width})));
  const at::NoGradGuard no_grad;
  for (const at::Tensor& table : {tokens_->weight, positions_->weight}) at::Tensor(table).normal_(0, 0.02);
}

at::Tensor Gpt2::forward(const at::Tensor& tokens) {
  const at::Tensor places = at::arange(tokens.size(1), tokens.options()).expand_as(tokens);
  at::Tensor x = tokens_->forward(tokens) + positions_->forward(places);
  for (const auto& block : blocks_) x = block->forward(x);
  return at::linear(norm_->forward(x), tokens_->weight);
}

}  // namespace sotto

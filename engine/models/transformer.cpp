#include "engine/models/transformer.h"

#include "base/error.h"

namespace sotto {

Transformer::Transformer(const TransformerSizes& sizes) {
  using namespace torch::nn;
  tokens_ = register_module("tokens", Embedding(sizes.vocabulary, sizes.width));
  positions_ = register_module("positions", Embedding(sizes.length, sizes.width));
  for (int64_t i = 0; i < sizes.blocks; ++i)
    blocks_.push_back(register_module(
        cat("block", i), std::make_shared<TransformerBlock>(BlockSizes{sizes.width, sizes.heads, sizes.feed_forward})));
  norm_ = register_module("norm", LayerNorm(LayerNormOptions({sizes.width})));
  head_ = register_module("head", Linear(sizes.width, sizes.outputs));
}

at::Tensor Transformer::forward(const at::Tensor& tokens) {
  const int64_t batch = tokens.size(0), length = tokens.size(1);
  // Each sample brings its own position ids, so that a position's gradient can be told apart by sample.
  const at::Tensor places = at::arange(length, tokens.options()).expand({batch, length});
  at::Tensor x = tokens_->forward(tokens) + positions_->forward(places);
  for (const auto& block : blocks_) x = block->forward(x);
  return head_->forward(norm_->forward(x).mean(1));
}

}  // namespace sotto

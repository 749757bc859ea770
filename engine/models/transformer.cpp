#include "engine/models/transformer.h"

#include "base/error.h"

namespace sotto {

Transformer::Transformer(const TransformerSizes& sizes) : sizes_(sizes) {
  using namespace torch::nn;
  const int64_t width = sizes.width;
  const LayerNormOptions norm({width});
  tokens_ = register_module("tokens", Embedding(sizes.vocabulary, width));
  positions_ = register_module("positions", Embedding(sizes.length, width));
  for (int64_t i = 0; i < sizes.blocks; ++i) {
    const auto name = [&](const char* part) { return cat("block", i, "_", part); };
    blocks_.push_back({register_module(name("attention_norm"), LayerNorm(norm)),
                       register_module(name("feed_norm"), LayerNorm(norm)),
                       register_module(name("query_key_value"), Linear(width, 3 * width)),
                       register_module(name("projection"), Linear(width, width)),
                       register_module(name("up"), Linear(width, sizes.feed_forward)),
                       register_module(name("down"), Linear(sizes.feed_forward, width))});
  }
  norm_ = register_module("norm", LayerNorm(norm));
  head_ = register_module("head", Linear(width, sizes.outputs));
}

at::Tensor Transformer::attend(const Block& block, const at::Tensor& x) const {
  const int64_t batch = x.size(0), length = x.size(1);
  const auto parts = block.query_key_value.ptr()
                         ->forward(x)
                         .view({batch, length, 3, sizes_.heads, sizes_.width / sizes_.heads})
                         .permute({2, 0, 3, 1, 4})
                         .unbind(0);
  const at::Tensor mixed = at::scaled_dot_product_attention(parts[0], parts[1], parts[2]);
  return block.projection.ptr()->forward(mixed.transpose(1, 2).reshape({batch, length, sizes_.width}));
}

at::Tensor Transformer::forward(const at::Tensor& tokens) {
  const int64_t batch = tokens.size(0), length = tokens.size(1);
  // Each sample brings its own position ids, so that a position's gradient can be told apart by sample.
  const at::Tensor places = at::arange(length, tokens.options()).expand({batch, length});
  at::Tensor x = tokens_->forward(tokens) + positions_->forward(places);
  for (const Block& block : blocks_) {
    x = x + attend(block, block.attention_norm.ptr()->forward(x));
    x = x + block.down.ptr()->forward(at::relu(block.up.ptr()->forward(block.feed_norm.ptr()->forward(x))));
  }
  return head_->forward(norm_->forward(x).mean(1));
}

}  // namespace sotto

#include "engine/models/transformer_block.h"

namespace sotto {

TransformerBlock::TransformerBlock(const BlockSizes& sizes) : sizes_(sizes) {
  using namespace torch::nn;
  const int64_t width = sizes.width;
  const LayerNormOptions norm = LayerNormOptions({width}).eps(sizes.norm_epsilon);
  attention_norm_ = register_module("attention_norm", LayerNorm(norm));
  feed_norm_ = register_module("feed_norm", LayerNorm(norm));
  query_key_value_ = register_module("query_key_value", Linear(width, 3 * width));
  projection_ = register_module("projection", Linear(width, width));
  up_ = register_module("up", Linear(width, sizes.feed_forward));
  down_ = register_module("down", Linear(sizes.feed_forward, width));
}

at::Tensor TransformerBlock::attend(const at::Tensor& x) {
  const int64_t batch = x.size(0), length = x.size(1);
  const auto parts = query_key_value_->forward(x)
                         .view({batch, length, 3, sizes_.heads, sizes_.width / sizes_.heads})
                         .permute({2, 0, 3, 1, 4})
                         .unbind(0);
  const at::Tensor mixed = at::scaled_dot_product_attention(parts[0], parts[1], parts[2], {}, 0.0, sizes_.causal);
  return projection_->forward(mixed.transpose(1, 2).reshape({batch, length, sizes_.width}));
}

at::Tensor TransformerBlock::feed(const at::Tensor& x) {
  const at::Tensor hidden = up_->forward(x);
  return down_->forward(sizes_.gelu ? at::gelu(hidden) : at::relu(hidden));
}

at::Tensor TransformerBlock::forward(const at::Tensor& x) {
  if (sizes_.norm_first) {
    const at::Tensor attended = x + attend(attention_norm_->forward(x));
    return attended + feed(feed_norm_->forward(attended));
  }
  const at::Tensor attended = attention_norm_->forward(x + attend(x));
  return feed_norm_->forward(attended + feed(attended));
}

}  // namespace sotto

#include "engine/models/llama.h"

#include "base/error.h"

namespace sotto {

Llama::Llama(const LlamaSizes& sizes) : sizes_(sizes) {
  tokens_ = register_module("tokens", torch::nn::Embedding(sizes.vocabulary, sizes.block.width));
  for (int64_t i = 0; i < sizes.blocks; ++i)
    blocks_.push_back(register_module(cat("block", i), std::make_shared<LlamaBlock>(sizes.block)));
  norm_ = register_parameter("norm", at::ones({sizes.block.width}), /*requires_grad=*/!sizes.block.lora());
  const at::NoGradGuard no_grad;
  at::Tensor(tokens_->weight).normal_(0, 0.02);
  if (sizes.block.lora()) tokens_->weight.set_requires_grad(false);
}

at::Tensor Llama::forward(const at::Tensor& tokens) {
  at::Tensor x = tokens_->forward(tokens);
  const RotaryTables rotary = rotary_tables(tokens.size(1), sizes_.block, x.options());
  for (const auto& block : blocks_) x = block->forward(x, rotary);
  return at::linear(at::rms_norm(x, {sizes_.block.width}, norm_, sizes_.block.norm_epsilon), tokens_->weight);
}

}  // namespace sotto

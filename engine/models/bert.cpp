#include "engine/models/bert.h"

#include "base/error.h"

namespace sotto {

Bert::Bert(const BertSizes& sizes) {
  using namespace torch::nn;
  constexpr double kNormEpsilon = 1e-12;  // BERT's own
  tokens_ = register_module("tokens", Embedding(sizes.vocabulary, sizes.width));
  positions_ = register_module("positions", Embedding(sizes.length, sizes.width));
  segments_ = register_module("segments", Embedding(2, sizes.width));
  norm_ = register_module("norm", LayerNorm(LayerNormOptions({sizes.width}).eps(kNormEpsilon)));
  const BlockSizes block = {sizes.width,          sizes.heads,   4 * sizes.width, /*causal=*/false,
                            /*norm_first=*/false, /*gelu=*/true, kNormEpsilon};
  for (int64_t i = 0; i < sizes.blocks; ++i)
    blocks_.push_back(register_module(cat("block", i), std::make_shared<TransformerBlock>(block)));
  pooler_ = register_module("pooler", Linear(sizes.width, sizes.width));
  head_ = register_module("head", Linear(sizes.width, sizes.outputs));
  const at::NoGradGuard no_grad;
  for (const at::Tensor& table : {tokens_->weight, positions_->weight, segments_->weight})
    at::Tensor(table).normal_(0, 0.02);
}

at::Tensor Bert::forward(const at::Tensor& tokens) {
  const at::Tensor places = at::arange(tokens.size(1), tokens.options()).expand_as(tokens);
  at::Tensor x = norm_->forward(tokens_->forward(tokens) + positions_->forward(places) +
                                segments_->forward(at::zeros_like(tokens)));
  for (const auto& block : blocks_) x = block->forward(x);
  return head_->forward(at::tanh(pooler_->forward(x.select(1, 0))));
}

}  // namespace sotto

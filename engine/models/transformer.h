#pragma once
#include <torch/nn/modules/embedding.h>

#include <memory>
#include <vector>

#include "engine/models/transformer_block.h"

namespace sotto {

struct TransformerSizes {
  int64_t vocabulary = 1000, length = 128, width = 128, heads = 4, feed_forward = 512, blocks = 2, outputs = 2;
};

// A pre-norm encoder over tokens [batch, length]: token and position embeddings, blocks of self-attention and a ReLU
// feed-forward layer, the mean over positions, a linear head. An ordinary LibTorch module.
class Transformer : public torch::nn::Module {
 public:
  explicit Transformer(const TransformerSizes& sizes);
  at::Tensor forward(const at::Tensor& tokens);

 private:
  torch::nn::Embedding tokens_{nullptr}, positions_{nullptr};
  std::vector<std::shared_ptr<TransformerBlock>> blocks_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::nn::Linear head_{nullptr};
};

}  // namespace sotto

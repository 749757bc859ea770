#pragma once
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <vector>

#include "engine/torch.h"

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
  struct Block {
    torch::nn::LayerNorm attention_norm{nullptr}, feed_norm{nullptr};
    torch::nn::Linear query_key_value{nullptr}, projection{nullptr}, up{nullptr}, down{nullptr};
  };
  at::Tensor attend(const Block& block, const at::Tensor& x) const;

  TransformerSizes sizes_;
  torch::nn::Embedding tokens_{nullptr}, positions_{nullptr};
  std::vector<Block> blocks_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::nn::Linear head_{nullptr};
};

}  // namespace sotto

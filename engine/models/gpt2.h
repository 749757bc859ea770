#pragma once
#include <torch/nn/modules/embedding.h>

#include <memory>
#include <vector>

#include "engine/models/transformer_block.h"

namespace sotto {

// Radford et al. 2019: the smallest of them, 124 million parameters.
struct Gpt2Sizes {
  int64_t vocabulary = 50257, length = 1024, width = 768, heads = 12, blocks = 12;
};

// A causal language model over tokens [batch, length], whose token table is its output layer too: logits
// [batch, length, vocabulary].
class Gpt2 : public torch::nn::Module {
 public:
  explicit Gpt2(const Gpt2Sizes& sizes);
  at::Tensor forward(const at::Tensor& tokens);

 private:
  torch::nn::Embedding tokens_{nullptr}, positions_{nullptr};
  std::vector<std::shared_ptr<TransformerBlock>> blocks_;
  torch::nn::LayerNorm norm_{nullptr};
};

}  // namespace sotto

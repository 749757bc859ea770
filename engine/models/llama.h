#pragma once
#include <torch/nn/modules/embedding.h>

#include <memory>
#include <vector>

#include "engine/models/llama_block.h"

namespace sotto {

// Grattafiori et al. 2024, Llama 3.2 1B: 1.24 billion parameters.
struct LlamaSizes {
  int64_t vocabulary = 128256, blocks = 16;
  LlamaBlockSizes block = {};
};

// A causal language model over tokens [batch, length] with rotary positions, whose token table is its output layer too:
// logits [batch, length, vocabulary]. With a LoRA rank, the factors alone are trained: tables and norms are frozen.
class Llama : public torch::nn::Module {
 public:
  explicit Llama(const LlamaSizes& sizes);
  at::Tensor forward(const at::Tensor& tokens);

 private:
  LlamaSizes sizes_;
  torch::nn::Embedding tokens_{nullptr};
  std::vector<std::shared_ptr<LlamaBlock>> blocks_;
  at::Tensor norm_;
};

}  // namespace sotto

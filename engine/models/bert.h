#pragma once
#include <torch/nn/modules/embedding.h>

#include <memory>
#include <vector>

#include "engine/models/transformer_block.h"

namespace sotto {

// Devlin et al. 2019: BERT-base, 109 million parameters.
struct BertSizes {
  int64_t vocabulary = 30522, length = 512, width = 768, heads = 12, blocks = 12, outputs = 2;
};

// A post-norm encoder over tokens [batch, length] of one segment; the first position, through a tanh layer, is
// classified: [batch, outputs]. Without dropout.
class Bert : public torch::nn::Module {
 public:
  explicit Bert(const BertSizes& sizes);
  at::Tensor forward(const at::Tensor& tokens);

 private:
  torch::nn::Embedding tokens_{nullptr}, positions_{nullptr}, segments_{nullptr};
  torch::nn::LayerNorm norm_{nullptr};
  std::vector<std::shared_ptr<TransformerBlock>> blocks_;
  torch::nn::Linear pooler_{nullptr}, head_{nullptr};
};

}  // namespace sotto

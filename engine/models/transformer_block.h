#pragma once
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "engine/torch.h"

namespace sotto {

struct BlockSizes {
  int64_t width, heads, feed_forward;
  bool causal = false;     // a position attends to itself and those before it
  bool norm_first = true;  // else after each residual sum, as in BERT
  bool gelu = false;       // else ReLU
  double norm_epsilon = 1e-5;
};

// Self-attention and a feed-forward layer, each with a residual sum, on x [batch, length, width].
class TransformerBlock : public torch::nn::Module {
 public:
  explicit TransformerBlock(const BlockSizes& sizes);
  at::Tensor forward(const at::Tensor& x);

 private:
  at::Tensor attend(const at::Tensor& x);
  at::Tensor feed(const at::Tensor& x);

  BlockSizes sizes_;
  torch::nn::LayerNorm attention_norm_{nullptr}, feed_norm_{nullptr};
  torch::nn::Linear query_key_value_{nullptr}, projection_{nullptr}, up_{nullptr}, down_{nullptr};
};

}  // namespace sotto

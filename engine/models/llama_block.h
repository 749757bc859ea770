#pragma once
#include <functional>

#include "engine/torch.h"

namespace sotto {

struct LlamaBlockSizes {
  int64_t width = 2048, heads = 32, key_heads = 8, feed_forward = 8192;
  int64_t lora_rank = 0;  // 0: the weights themselves are trained
  double lora_alpha = 32;
  double rotary_base = 500000, norm_epsilon = 1e-5;
  bool lora() const { return lora_rank > 0; }
};

// Cosines and sines of position · base^(−2i/d), d the width of a head, twice side by side: [length, d].
struct RotaryTables {
  at::Tensor cosines, sines;
};
RotaryTables rotary_tables(int64_t length, const LlamaBlockSizes& sizes, const at::TensorOptions& options);

// Causal self-attention with rotary positions and fewer heads for keys and values than for queries, and a gated
// feed-forward layer, each behind an RMSNorm and with a residual sum, on x [batch, length, width]. No biases.
class LlamaBlock : public torch::nn::Module {
 public:
  explicit LlamaBlock(const LlamaBlockSizes& sizes);
  at::Tensor forward(const at::Tensor& x, const RotaryTables& rotary);

 private:
  using Linear = std::function<at::Tensor(const at::Tensor&)>;
  Linear linear(const std::string& name, int64_t inputs, int64_t outputs);
  at::Tensor norm(const std::string& name);
  at::Tensor attend(const at::Tensor& x, const RotaryTables& rotary);

  LlamaBlockSizes sizes_;
  at::Tensor attention_norm_, feed_norm_;
  Linear query_, key_, value_, output_, gate_, up_, down_;
};

}  // namespace sotto

#pragma once
#include <torch/nn/modules/conv.h>

#include <memory>
#include <vector>

#include "engine/models/transformer_block.h"

namespace sotto {

// Dosovitskiy et al. 2021: ViT-L/16, 304 million parameters, 197 positions.
struct VitSizes {
  int64_t image = 224, patch = 16, width = 1024, heads = 16, blocks = 24, outputs = 1000;
};

// A pre-norm encoder over the patches of images [batch, 3, image, image] and a class token, which is classified:
// [batch, outputs]. Class token and position table are bare parameters.
class Vit : public torch::nn::Module {
 public:
  explicit Vit(const VitSizes& sizes);
  at::Tensor forward(const at::Tensor& images);

 private:
  torch::nn::Conv2d patches_{nullptr};
  at::Tensor class_token_, positions_;
  std::vector<std::shared_ptr<TransformerBlock>> blocks_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::nn::Linear head_{nullptr};
};

}  // namespace sotto

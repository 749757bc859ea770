#include "engine/models/resnet.h"

#include "base/error.h"

namespace sotto {

using namespace torch::nn;

Bottleneck::Layer Bottleneck::layer(const char* name, int64_t in, int64_t out, int64_t taps, int64_t stride,
                                    int64_t groups) {
  const auto options = Conv2dOptions(in, out, taps).stride(stride).padding(taps / 2).bias(false);
  return {register_module(cat(name, "_convolution"), Conv2d(options)),
          register_module(cat(name, "_norm"), GroupNorm(GroupNormOptions(groups, out)))};
}

Bottleneck::Bottleneck(int64_t in, int64_t width, int64_t stride, int64_t groups) {
  narrow_ = layer("narrow", in, width, 1, 1, groups);
  middle_ = layer("middle", width, width, 3, stride, groups);
  wide_ = layer("wide", width, 4 * width, 1, 1, groups);
  if (stride != 1 || in != 4 * width) shortcut_ = layer("shortcut", in, 4 * width, 1, stride, groups);
}

at::Tensor Bottleneck::forward(const at::Tensor& x) {
  const auto pass = [](Layer& layer, const at::Tensor& input) {
    return layer.norm->forward(layer.convolution->forward(input));
  };
  const at::Tensor kept = shortcut_.convolution ? pass(shortcut_, x) : x;
  return at::relu(kept + pass(wide_, at::relu(pass(middle_, at::relu(pass(narrow_, x))))));
}

Resnet::Resnet(const ResnetSizes& sizes) {
  stem_ = register_module("stem", Conv2d(Conv2dOptions(3, sizes.width, 7).stride(2).padding(3).bias(false)));
  norm_ = register_module("norm", GroupNorm(GroupNormOptions(sizes.groups, sizes.width)));
  int64_t in = sizes.width, width = sizes.width;
  for (size_t stage = 0; stage < sizes.blocks.size(); ++stage, width *= 2)
    for (int64_t i = 0; i < sizes.blocks[stage]; ++i) {
      const int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      blocks_.push_back(register_module(cat("stage", stage + 1, "_block", i),
                                        std::make_shared<Bottleneck>(in, width, stride, sizes.groups)));
      in = 4 * width;
    }
  head_ = register_module("head", Linear(in, sizes.outputs));
}

at::Tensor Resnet::forward(const at::Tensor& images) {
  at::Tensor x = at::max_pool2d(at::relu(norm_->forward(stem_->forward(images))), 3, 2, 1);
  for (const auto& block : blocks_) x = block->forward(x);
  return head_->forward(x.mean(std::vector<int64_t>{2, 3}));
}

}  // namespace sotto

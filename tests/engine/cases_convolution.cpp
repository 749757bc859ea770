#include <torch/nn/modules/conv.h>

#include "tests/engine/subject.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

// A 1x1 convolution in front, so that input gradients matter, and the layer under test behind it.
template <class Layer>
Factory behind_one(const Layer& make, int64_t channels, const std::string& frozen = "") {
  return eager([=](Net& net) -> Forward {
    auto first = net.add("first", Conv2d(Conv2dOptions(2, channels, 1)));
    auto layer = net.add("layer", make());
    if (!frozen.empty()) net.named_parameters()[frozen].set_requires_grad(false);
    return [=](const at::Tensor& x) { return layer.ptr()->forward(at::tanh(first.ptr()->forward(x))); };
  });
}

Factory conv2d(const Conv2dOptions& options, const std::string& frozen = "") {
  return behind_one([=] { return Conv2d(options); }, options.in_channels(), frozen);
}

// The layer alone, on data.
template <class Layer>
Factory on_data(const Layer& make) {
  return eager([=](Net& net) -> Forward {
    auto layer = net.add("layer", make());
    return [=](const at::Tensor& x) { return layer.ptr()->forward(x); };
  });
}

const auto kImage = features({2, 7, 6});

std::vector<Case> two_dimensional() {
  const auto o = [](int64_t in, int64_t out, std::vector<int64_t> kernel) {
    return Conv2dOptions(in, out, torch::ExpandingArray<2>(kernel));
  };
  return {
      {"conv2d", conv2d(o(3, 4, {3, 3}).padding(1)), kImage},
      {"conv2d without bias", conv2d(o(3, 4, {3, 3}).bias(false)), kImage},
      {"conv2d 1x1", conv2d(o(3, 20, {1, 1})), kImage},
      {"conv2d of another stride, padding and dilation each way",
       conv2d(o(3, 5, {2, 3}).stride({2, 1}).padding({1, 2}).dilation({1, 2})), kImage},
      {"conv2d that leaves places out", conv2d(o(3, 5, {2, 2}).stride(3)), kImage},
      {"conv2d over the whole image", conv2d(o(3, 5, {7, 6})), kImage},
      {"conv2d of many channels", conv2d(o(18, 37, {3, 2}).padding(1)), kImage},
      {"conv2d in groups", conv2d(o(6, 4, {3, 3}).groups(2)), kImage},
      {"conv2d in many groups", conv2d(o(24, 36, {3, 3}).groups(12).padding(1).stride(2)), kImage},
      {"conv2d depthwise", conv2d(o(19, 19, {3, 3}).groups(19).padding(1)), kImage},
      {"conv2d depthwise, two outputs a channel", conv2d(o(9, 18, {3, 3}).groups(9).dilation(2).padding(2)), kImage},
      {"conv2d depthwise of few channels", conv2d(o(3, 6, {3, 3}).groups(3)), kImage},
      {"conv2d padded same", conv2d(o(3, 4, {3, 5}).padding(torch::kSame)), kImage},
      {"conv2d padded same by an odd number", conv2d(o(3, 4, {2, 4}).padding(torch::kSame).dilation({1, 3})), kImage},
      {"conv2d padded valid", conv2d(o(3, 4, {3, 3}).padding(torch::kValid).stride(2)), kImage},
      {"conv2d padded by reflection", conv2d(o(3, 4, {3, 3}).padding(2).padding_mode(torch::kReflect)), kImage},
      {"conv2d padded in a circle", conv2d(o(3, 4, {3, 3}).padding(1).padding_mode(torch::kCircular)), kImage},
      {"conv2d padded by the edge", conv2d(o(3, 4, {3, 3}).padding(1).padding_mode(torch::kReplicate)), kImage},
      {"conv2d on data", on_data([=] { return Conv2d(o(2, 4, {3, 3})); }), kImage},
      {"conv2d on channels last", eager([=](Net& net) -> Forward {
         auto a = net.add("a", Conv2d(o(2, 4, {3, 3})));
         return [=](const at::Tensor& x) { return a.ptr()->forward(x.contiguous(at::MemoryFormat::ChannelsLast)); };
       }), kImage},
      {"conv2d on a part of the image", eager([=](Net& net) -> Forward {
         auto a = net.add("a", Conv2d(o(2, 4, {3, 3})));
         return [=](const at::Tensor& x) { return a.ptr()->forward(x.slice(3, 1, 6).transpose(2, 3)).transpose(2, 3); };
       }), kImage},
      {"conv2d twice with one weight", eager([=](Net& net) -> Forward {
         auto a = net.add("a", Conv2d(o(2, 2, {3, 3}).padding(1)));
         return [=](const at::Tensor& x) { return a.ptr()->forward(at::tanh(a.ptr()->forward(x))); };
       }), kImage},
      {"conv2d with the bias of a linear layer", eager([=](Net& net) -> Forward {
         const at::Tensor w = net.own("w", at::randn({4, 2, 3, 3}).mul_(0.3)), v = net.own("v", at::randn({4, 4})), b = net.own("b", at::randn({4}));
         return [=](const at::Tensor& x) { return at::linear(at::conv2d(x, w, b).mean({2, 3}), v, b); };
       }), kImage},
      {"conv2d changed in place", eager([=](Net& net) -> Forward {
         auto a = net.add("a", Conv2d(o(2, 4, {3, 3}))), b = net.add("b", Conv2d(o(4, 2, {3, 3})));
         return [=](const at::Tensor& x) { return b.ptr()->forward(a.ptr()->forward(x).relu_()); };
       }), kImage},
      {"convolution itself", eager([](Net& net) -> Forward {
         const at::Tensor w = net.own("w", at::randn({4, 2, 3, 3}).mul_(0.3)), b = net.own("b", at::randn({4}));
         return [=](const at::Tensor& x) { return at::convolution(x, w, b, {2}, {1}, {1}, false, {0}, 1); };
       }), kImage}};
}

std::vector<Case> frozen() {
  std::vector<Case> cases;
  const Conv2dOptions options = Conv2dOptions(3, 4, 3).padding(1);
  for (const std::string name : {"first.weight", "first.bias", "layer.weight", "layer.bias"})
    cases.push_back({"conv2d, " + name + " frozen", conv2d(options, name), kImage});
  for (const std::string name : {"weight", "bias"})
    cases.push_back({"conv2d on data, " + name + " frozen", eager([=](Net& net) -> Forward {
                       auto a = net.add("a", Conv2d(Conv2dOptions(2, 4, 3)));
                       a->named_parameters()[name].set_requires_grad(false);
                       return [=](const at::Tensor& x) { return a.ptr()->forward(x).relu_(); };
                     }), kImage});
  cases.push_back({"conv2d, all of a layer in the middle frozen", eager([=](Net& net) -> Forward {
                     auto a = net.add("a", Conv2d(Conv2dOptions(2, 3, 2))), b = net.add("b", Conv2d(options)), c = net.add("c", Conv2d(Conv2dOptions(4, 2, 2)));
                     for (const char* name : {"weight", "bias"}) b->named_parameters()[name].set_requires_grad(false);
                     return [=](const at::Tensor& x) { return c.ptr()->forward(b.ptr()->forward(a.ptr()->forward(x))); };
                   }), kImage});
  return cases;
}

std::vector<Case> other_dimensions() {
  return {
      {"conv1d", on_data([] { return Conv1d(Conv1dOptions(3, 5, 4).stride(2).padding(3).dilation(2)); }), features({3, 11})},
      {"conv1d over 700 places", on_data([] { return Conv1d(Conv1dOptions(2, 17, 5).padding(2)); }), features({2, 700})},
      {"conv1d padded same", on_data([] { return Conv1d(Conv1dOptions(3, 5, 4).padding(torch::kSame)); }), features({3, 11})},
      {"conv1d depthwise", on_data([] { return Conv1d(Conv1dOptions(10, 10, 4).groups(10).padding(3)); }), features({10, 9})},
      {"conv3d", on_data([] { return Conv3d(Conv3dOptions(2, 3, {2, 3, 2}).stride({1, 2, 1}).padding({1, 1, 0}).dilation({2, 1, 1})); }),
       features({2, 5, 4, 6})},
      {"conv3d padded same", on_data([] { return Conv3d(Conv3dOptions(2, 3, {2, 3, 2}).padding(torch::kSame)); }), features({2, 3, 4, 5})},
      {"conv3d in groups", on_data([] { return Conv3d(Conv3dOptions(4, 6, 2).groups(2)); }), features({4, 3, 4, 3})},
      {"transposed conv1d", on_data([] { return ConvTranspose1d(ConvTranspose1dOptions(3, 5, 4).stride(3).padding(1).output_padding(2)); }),
       features({3, 5})},
      {"transposed conv2d", behind_one([] { return ConvTranspose2d(ConvTranspose2dOptions(3, 5, {3, 2}).stride({2, 3}).padding({1, 0}).output_padding({1, 2})); }, 3),
       features({2, 4, 3})},
      {"transposed conv2d in groups, dilated, without bias",
       behind_one([] { return ConvTranspose2d(ConvTranspose2dOptions(4, 6, 3).groups(2).dilation(2).bias(false)); }, 4), features({2, 4, 3})},
      {"transposed conv2d whose output is padded beyond its stride",
       behind_one([] { return ConvTranspose2d(ConvTranspose2dOptions(3, 2, 2).dilation(3).output_padding(2)); }, 3), features({2, 4, 3})},
      {"transposed conv2d, weight frozen", behind_one([] { return ConvTranspose2d(ConvTranspose2dOptions(3, 5, 3)); }, 3, "layer.weight"),
       features({2, 4, 3})},
      {"transposed conv3d", on_data([] { return ConvTranspose3d(ConvTranspose3dOptions(2, 3, 2).stride(2)); }), features({2, 2, 3, 2})}};
}

// A traced graph has aten::_convolution; older files have it without the last flag.
std::vector<Case> scripts() {
  const std::vector<ScriptParameter> parameters = {{"w", {4, 2, 3, 3}}, {"b", {4}}};
  const auto body = [](const std::string& call) { return "def forward(self, x):\n  return torch.tanh(" + call + ")\n"; };
  return {
      {"scripted conv2d", scripted(parameters, body("torch.conv2d(x, self.w, self.b, [1, 2], [1, 0], [1, 1], 1)")), kImage},
      {"scripted conv2d padded same", scripted(parameters, body("torch.conv2d(x, self.w, self.b, [1, 1], \"same\", [1, 1], 1)")), kImage},
      {"traced _convolution", scripted(parameters, body("torch._convolution(x, self.w, self.b, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, False, False, True, True)")), kImage},
      {"traced _convolution of an old file", scripted(parameters, body("torch._convolution(x, self.w, self.b, [2, 1], [1, 1], [1, 1], False, [0, 0], 1, False, False, True)")), kImage},
      {"traced _convolution_mode", scripted(parameters, body("torch._convolution_mode(x, self.w, self.b, [1, 1], \"valid\", [1, 2], 1)")), kImage},
      {"traced transposed _convolution", scripted({{"w", {2, 3, 3, 3}}, {"b", {3}, false}}, body("torch._convolution(x, self.w, self.b, [2, 2], [1, 1], [1, 1], True, [1, 1], 1, False, False, True, True)")), kImage}};
}

}  // namespace

std::vector<Case> convolution_cases() {
  std::vector<Case> cases;
  for (const auto& part : {two_dimensional(), frozen(), other_dimensions(), scripts()})
    cases.insert(cases.end(), part.begin(), part.end());
  return cases;
}

}  // namespace sotto

#include <torch/nn/modules/instancenorm.h>

#include "tests/engine/subject.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

// A linear layer over the last dimension, a normalisation of its output, and a linear layer behind.
Factory between_layers(int64_t features, const std::function<Forward(Net&)>& norm, const std::string& frozen = "") {
  return eager([=](Net& net) -> Forward {
    auto a = net.add("a", Linear(features, features)), b = net.add("b", Linear(features, 2));
    const Forward middle = norm(net);
    if (!frozen.empty()) net.named_parameters()[frozen].set_requires_grad(false);
    return [=](const at::Tensor& x) { return b.ptr()->forward(middle(a.ptr()->forward(x))); };
  });
}

std::function<Forward(Net&)> group_norm(int64_t groups, int64_t channels) {
  return [=](Net& net) -> Forward {
    auto n = net.add("n", GroupNorm(GroupNormOptions(groups, channels)));
    const at::NoGradGuard no_grad;
    n->weight.add_(at::randn({channels}) * 0.3);
    n->bias.add_(at::randn({channels}) * 0.3);
    return [=](const at::Tensor& x) { return n.ptr()->forward(x); };
  };
}

std::function<Forward(Net&)> rms_norm(std::vector<int64_t> shape, std::optional<double> epsilon) {
  return [=](Net& net) -> Forward {
    const at::Tensor w = net.own("w", at::randn(shape));
    return [=](const at::Tensor& x) { return at::rms_norm(x, shape, w, epsilon); };
  };
}

}  // namespace

std::vector<Case> group_norm_cases() {
  return {{"group norm", between_layers(5, group_norm(2, 6)), features({6, 5})},
          {"group norm of images", between_layers(4, group_norm(3, 6)), features({6, 3, 4})},
          {"group norm, one group", between_layers(4, group_norm(1, 3)), features({3, 4, 4})},
          {"group norm, no positions", between_layers(6, group_norm(2, 6)), features({6})},
          {"group norm, scale frozen", between_layers(5, group_norm(2, 6), "n.weight"), features({6, 5})},
          {"group norm, shift frozen", between_layers(5, group_norm(2, 6), "n.bias"), features({6, 5})},
          {"group norm on data", eager([](Net& net) { return group_norm(2, 4)(net); }), features({4, 3, 3})},
          {"group norm twice", between_layers(5, [](Net& net) -> Forward {
             const Forward n = group_norm(2, 6)(net);
             return [=](const at::Tensor& x) { return n(n(x).tanh() + x); };
           }), features({6, 5})},
          {"group norm of a transposed image", between_layers(4, [](Net& net) -> Forward {
             const Forward n = group_norm(2, 4)(net);
             return [=](const at::Tensor& x) { return n(x.transpose(1, 2)).transpose(1, 2); };
           }), features({5, 4})},
          {"instance norm", between_layers(5, [](Net& net) -> Forward {
             auto n = net.add("n", InstanceNorm1d(InstanceNorm1dOptions(3).affine(true)));
             return [=](const at::Tensor& x) { return n.ptr()->forward(x); };
           }), features({3, 5})},
          {"instance norm of images", between_layers(4, [](Net& net) -> Forward {
             auto n = net.add("n", InstanceNorm2d(InstanceNorm2dOptions(3).affine(true)));
             return [=](const at::Tensor& x) { return n.ptr()->forward(x).square(); };
           }), features({3, 4, 4})},
          {"instance norm without parameters", between_layers(4, [](Net& net) -> Forward {
             auto n = net.add("n", InstanceNorm2d(InstanceNorm2dOptions(3)));
             return [=](const at::Tensor& x) { return n.ptr()->forward(x); };
           }), features({3, 4, 4})},
          {"rms norm", between_layers(6, rms_norm({6}, 1e-6)), features({5, 6})},
          {"rms norm 2-D", between_layers(6, rms_norm({6}, 1e-2)), features({6})},
          {"rms norm over two dimensions", between_layers(20, rms_norm({3, 20}, 1e-5)), features({2, 3, 20})},
          {"rms norm by hand", between_layers(6, [](Net& net) -> Forward {
             const at::Tensor w = net.own("w", at::randn({6}));
             return [=](const at::Tensor& x) { return w * (x * (x.square().mean(-1, true) + 1e-6).rsqrt()); };
           }), features({5, 6})},
          {"layer norm of wide rows over a long sequence", between_layers(37, [](Net& net) -> Forward {
             const at::Tensor gamma = net.own("gamma", at::randn({37})), beta = net.own("beta", at::randn({37}));
             return [=](const at::Tensor& x) { return at::layer_norm(x, {37}, gamma, beta); };
           }), features({70, 37})}};
}

std::vector<Case> embedding_bag_cases() {
  const auto bag = [](EmbeddingBagOptions options) {
    return eager([=](Net& net) -> Forward {
      auto bags = net.add("table", EmbeddingBag(options));
      auto a = net.add("a", Linear(4, 3));
      return [=](const at::Tensor& x) { return a.ptr()->forward(bags.ptr()->forward(x).tanh()); };
    });
  };
  return {{"bag sums", bag(EmbeddingBagOptions(6, 4).mode(torch::kSum)), tokens(9, 6)},
          {"bag means", bag(EmbeddingBagOptions(6, 4).mode(torch::kMean)), tokens(9, 6)},
          {"bag means with padding", bag(EmbeddingBagOptions(6, 4).mode(torch::kMean).padding_idx(0)), tokens(9, 6)},
          {"bag sums with padding", bag(EmbeddingBagOptions(6, 4).mode(torch::kSum).padding_idx(2)), tokens(4, 6)},
          {"bag maxima", bag(EmbeddingBagOptions(6, 4).mode(torch::kMax)), tokens(9, 6)},
          {"bag maxima with padding", bag(EmbeddingBagOptions(6, 4).mode(torch::kMax).padding_idx(0)), tokens(3, 3)},
          {"a table of bags, a sum and two maxima", eager([](Net& net) -> Forward {
             const at::Tensor table = net.own("table", at::randn({6, 4}));
             const auto a = net.add("a", Linear(12, 3));
             return [=](const at::Tensor& x) {
               const at::Tensor offsets = at::arange(0, x.numel(), x.size(1), at::kLong);
               const auto bag = [&](int64_t mode) {
                 return std::get<0>(at::embedding_bag(table, x.flatten(), offsets, false, mode, false));
               };
               return a.ptr()->forward(at::cat({bag(0).sin(), bag(2), bag(2).square()}, 1).tanh());
             };
           }), tokens(5, 6)},
          {"bag maxima of a table that is tied to a head", eager([](Net& net) -> Forward {
             const at::Tensor table = net.own("table", at::randn({6, 4}));
             return [=](const at::Tensor& x) {
               const at::Tensor offsets = at::arange(0, x.numel(), x.size(1), at::kLong);
               return at::linear(std::get<0>(at::embedding_bag(table, x.flatten(), offsets, false, 2, false)).tanh(), table);
             };
           }), tokens(5, 6)},
          {"bag of one", bag(EmbeddingBagOptions(6, 4).mode(torch::kSum)), tokens(1, 6)},
          {"bag with weights from a layer", eager([](Net& net) -> Forward {
             const at::Tensor table = net.own("table", at::randn({6, 4}));
             auto a = net.add("a", Linear(5, 5));
             return [=](const at::Tensor& x) {
               const at::Tensor weights = a.ptr()->forward(x.to(table.scalar_type()) / 6);
               const at::Tensor offsets = at::arange(x.size(0), at::kLong) * 5;
               return std::get<0>(at::embedding_bag(table, x.flatten(), offsets, false, 0, false, weights.flatten()));
             };
           }), tokens(5, 6)},
          {"bag whose table is tied to a head", eager([](Net& net) -> Forward {
             const at::Tensor table = net.own("table", at::randn({6, 4}));
             return [=](const at::Tensor& x) {
               const at::Tensor offsets = at::arange(x.size(0) + 1, at::kLong) * 5;
               const at::Tensor y = std::get<0>(at::embedding_bag(table, x.flatten(), offsets, false, 1, false, std::nullopt, true));
               return at::linear(y.tanh(), table);
             };
           }), tokens(5, 6)},
          {"ragged bags, an empty one", eager([](Net& net) -> Forward {
             const at::Tensor table = net.own("table", at::randn({6, 4}));
             return [=](const at::Tensor& x) {
               // Each sample's sum comes from the ids before its own last ones: bags of 3, 0 and 4 in turn.
               at::Tensor sum;
               for (int64_t k = 0; k < 3; ++k) {
                 std::vector<int64_t> offsets;
                 std::vector<at::Tensor> ids;
                 int64_t at = 0;
                 for (int64_t i = 0; i < x.size(0); ++i) {
                   const int64_t length = std::array{3, 0, 4}[static_cast<size_t>(k)];
                   offsets.push_back(at);
                   ids.push_back(x[i].narrow(0, 3 - k, length));
                   at += length;
                 }
                 const at::Tensor part = std::get<0>(at::embedding_bag(table, at::cat(ids), at::tensor(offsets, at::kLong), false, k % 2));
                 sum = k == 0 ? part : sum + part.tanh();
               }
               return sum;
             };
           }), tokens(7, 6)}};
}

// Three groups of ids in each sample, one bag a group: the batch is merged with the groups.
Case grouped_bags() {
  return {"grouped bags", eager([](Net& net) -> Forward {
            const at::Tensor table = net.own("table", at::randn({6, 4}));
            return [=](const at::Tensor& x) {
              std::vector<int64_t> offsets;
              for (int64_t i = 0; i < x.size(0); ++i)
                for (const int64_t first : {0, 3, 5}) offsets.push_back(9 * i + first);
              return std::get<0>(at::embedding_bag(table, x.flatten(), at::tensor(offsets, at::kLong), false, 1, false, std::nullopt,
                                                   false, 0)).view({x.size(0), 3, 4}).cumsum(1);
            };
          }), tokens(9, 6)};
}

}  // namespace sotto

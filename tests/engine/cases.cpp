#include "engine/models/mlp.h"
#include "engine/models/transformer.h"
#include "tests/engine/subject.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

Linear linear(int64_t inputs, int64_t outputs, bool bias = true) {
  return Linear(LinearOptions(inputs, outputs).bias(bias));
}

Forward chain(Linear first, Linear second) {
  return [=](const at::Tensor& x) { return second.ptr()->forward(at::tanh(first.ptr()->forward(x))); };
}

// A layer of `inputs` x `outputs` on data, and one behind it, so that input gradients matter.
Factory two_layers(int64_t inputs, bool bias = true) {
  return eager([=](Net& net) { return chain(net.add("a", linear(inputs, 5, bias)), net.add("b", linear(5, 3, bias))); });
}

}  // namespace

std::vector<Case> linear_cases() {
  std::vector<Case> cases = {
      {"mlp", eager([](Net& net) -> Forward {
         auto mlp = net.register_module("mlp", std::make_shared<Mlp>(7, std::vector<int64_t>{9, 6}, 2));
         return [mlp](const at::Tensor& x) { return mlp->forward(x); };
       }), features({7})},
      {"linear 2-D", two_layers(4), features({4})},
      {"linear 3-D, rows kept", two_layers(4), features({2, 4})},
      {"linear 3-D, gradients stored", two_layers(4), features({13, 4})},
      {"linear 4-D", two_layers(4), features({3, 5, 4})},
      {"linear 3-D of one row", two_layers(4), features({1, 4})},
      {"no bias, 2-D", two_layers(4, false), features({4})},
      {"no bias, 3-D", two_layers(4, false), features({6, 4})},
      {"sum over the sequence", eager([](Net& net) -> Forward {
         auto a = net.add("a", linear(3, 4)), b = net.add("b", linear(4, 2));
         return [=](const at::Tensor& x) { return b.ptr()->forward(a.ptr()->forward(x).tanh().sum(1)); };
       }), features({20, 3})},
      {"one weight twice", eager([](Net& net) -> Forward {
         auto a = net.add("a", linear(4, 4));
         return chain(a, a);
       }), features({4})},
      {"one weight twice along sequences", eager([](Net& net) -> Forward {
         auto a = net.add("a", linear(4, 4));
         return chain(a, a);
       }), features({5, 4})},
      {"one weight on a sequence and on its mean", eager([](Net& net) -> Forward {
         auto a = net.add("a", linear(4, 4));
         return [=](const at::Tensor& x) { return a.ptr()->forward(a.ptr()->forward(x).tanh().mean(1)); };
       }), features({7, 4})},
      {"two weights with one bias", eager([](Net& net) -> Forward {
         auto a = net.add("a", linear(4, 4)), b = net.add("b", linear(4, 4, false));
         return [=](const at::Tensor& x) { return at::linear(at::tanh(a.ptr()->forward(x)), b->weight, a->bias); };
       }), features({4})},
      {"plain matrix products", eager([](Net& net) -> Forward {
         const at::Tensor w = net.own("w", at::randn({5, 4})), v = net.own("v", at::randn({3, 5})), b = net.own("b", at::randn({3}));
         return [=](const at::Tensor& x) { return at::mm(at::tanh(at::matmul(x, w.t())), v.transpose(0, 1)) + b; };
       }), features({4})},
      {"addmm", eager([](Net& net) -> Forward {
         const at::Tensor w = net.own("w", at::randn({5, 4})), b = net.own("b", at::randn({5}));
         return [=](const at::Tensor& x) { return at::addmm(b, x, w.t()); };
       }), features({4})},
      {"residual with a relu in place", eager([](Net& net) -> Forward {
         auto a = net.add("a", linear(4, 4)), b = net.add("b", linear(4, 4));
         return [=](const at::Tensor& x) { return x + b.ptr()->forward(a.ptr()->forward(x).relu_()).relu_(); };
       }), features({3, 4})}};
  for (const int64_t length : {0, 6}) {
    const auto input = length > 0 ? features({length, 4}) : features({4});
    const std::string where = length > 0 ? ", 3-D" : ", 2-D";
    for (const std::string frozen : {"a.weight", "a.bias", "b.weight"})
      cases.push_back({frozen + " frozen" + where, eager([=](Net& net) -> Forward {
                         auto a = net.add("a", linear(4, 5)), b = net.add("b", linear(5, 3));
                         net.named_parameters()[frozen].set_requires_grad(false);
                         return chain(a, b);
                       }), input});
    cases.push_back({"bias alone" + where, eager([](Net& net) -> Forward {
                       auto a = net.add("a", linear(4, 3));
                       a->weight.set_requires_grad(false);
                       return [=](const at::Tensor& x) { return a.ptr()->forward(x); };
                     }), input});
    cases.push_back({"bias alone, changed in place" + where, eager([](Net& net) -> Forward {
                       auto a = net.add("a", linear(4, 3));
                       a->weight.set_requires_grad(false);
                       return [=](const at::Tensor& x) { return a.ptr()->forward(x).relu_(); };
                     }), input});
    cases.push_back({"weight alone" + where, eager([](Net& net) -> Forward {
                       auto a = net.add("a", linear(4, 3));
                       a->bias.set_requires_grad(false);
                       return [=](const at::Tensor& x) { return a.ptr()->forward(x); };
                     }), input});
  }
  return cases;
}

std::vector<Case> embedding_cases() {
  // Few words, so that ids repeat within a sample and word 0, the padding, occurs.
  const auto table = [](Net& net, int64_t padding) {
    EmbeddingOptions options(6, 4);
    if (padding >= 0) options.padding_idx(padding);
    return net.add("table", Embedding(options));
  };
  return {
      {"repeated ids", eager([=](Net& net) -> Forward {
         auto e = table(net, -1);
         return [=](const at::Tensor& x) { return e.ptr()->forward(x).tanh().cumsum(1); };
       }), tokens(11, 6)},
      {"padding", eager([=](Net& net) -> Forward {
         auto e = table(net, 0);
         auto a = net.add("a", linear(4, 3));
         return [=](const at::Tensor& x) { return a.ptr()->forward(e.ptr()->forward(x).mean(1)); };
       }), tokens(9, 6)},
      {"one id a sample", eager([=](Net& net) -> Forward {
         auto e = table(net, -1);
         return [=](const at::Tensor& x) { return e.ptr()->forward(x.select(1, 0)); };
       }), tokens(2, 6)},
      {"one table twice, once padded", eager([=](Net& net) -> Forward {
         auto e = table(net, -1);
         return [=](const at::Tensor& x) {
           const at::Tensor other = at::embedding(e->weight, x.flip(1).narrow(1, 0, 3), 2);
           return at::tanh(e.ptr()->forward(x).sum(1) + other.sum(1));
         };
       }), tokens(5, 6)},
      {"int32 ids", eager([=](Net& net) -> Forward {
         auto e = table(net, -1);
         return [=](const at::Tensor& x) { return e.ptr()->forward(x.to(at::kInt)); };
       }), tokens(5, 6)},
      {"tied head over a sequence", eager([=](Net& net) -> Forward {
         auto e = table(net, -1);
         return [=](const at::Tensor& x) { return at::linear(e.ptr()->forward(x).tanh(), e->weight); };
       }), tokens(7, 6)},
      {"tied head on the mean, by matmul", eager([=](Net& net) -> Forward {
         auto e = table(net, 0);
         return [=](const at::Tensor& x) { return at::matmul(e.ptr()->forward(x).mean(1), e->weight.t()); };
       }), tokens(7, 6)},
      {"tied head with a layer between and a bias", eager([=](Net& net) -> Forward {
         auto e = table(net, -1);
         auto a = net.add("a", linear(4, 4));
         const at::Tensor b = net.own("b", at::randn({6}));
         return [=](const at::Tensor& x) { return at::linear(a.ptr()->forward(e.ptr()->forward(x)), e->weight, b); };
       }), tokens(3, 6)},
      {"transformer", eager([](Net& net) -> Forward {
         auto t = net.register_module("t", std::make_shared<Transformer>(TransformerSizes{20, 9, 16, 2, 24, 2, 3}));
         return [t](const at::Tensor& x) { return t->forward(x); };
       }), tokens(9, 20)}};
}

std::vector<Case> norm_cases() {
  const auto with_norm = [](const std::string& frozen, bool bias, bool twice) {
    return eager([=](Net& net) -> Forward {
      auto a = net.add("a", linear(6, 6)), b = net.add("b", linear(6, 2));
      const at::Tensor gamma = net.own("gamma", at::randn({6})), beta = bias ? net.own("beta", at::randn({6})) : at::Tensor();
      if (!frozen.empty()) net.named_parameters()[frozen].set_requires_grad(false);
      const std::optional<at::Tensor> shift = bias ? std::optional(beta) : std::nullopt;
      return [=](const at::Tensor& x) {
        at::Tensor y = at::layer_norm(a.ptr()->forward(x), {6}, gamma, shift);
        if (twice) y = at::layer_norm(y.tanh() + x, {6}, gamma, shift);
        return b.ptr()->forward(y);
      };
    });
  };
  return {{"layer norm 2-D", with_norm("", true, false), features({6})},
          {"layer norm 3-D", with_norm("", true, false), features({5, 6})},
          {"layer norm, scale frozen", with_norm("gamma", true, false), features({5, 6})},
          {"layer norm, shift frozen", with_norm("beta", true, false), features({5, 6})},
          {"layer norm, no shift", with_norm("", false, false), features({5, 6})},
          {"layer norm twice", with_norm("", true, true), features({5, 6})},
          {"layer norm whose scale is also a linear weight", eager([](Net& net) -> Forward {
             const at::Tensor w = net.own("w", at::randn({4, 4}));
             return [=](const at::Tensor& x) {
               return at::layer_norm(at::linear(x, w).unsqueeze(1).expand({-1, 4, -1}), {4, 4}, w);
             };
           }), features({4})},
          {"layer norm whose scale is tied to a table and a linear weight", eager([](Net& net) -> Forward {
             const at::Tensor w = net.own("w", at::randn({6, 4})), v = net.own("v", at::randn({3, 4}));
             return [=](const at::Tensor& x) {
               const at::Tensor y = at::linear(at::embedding(w, x), w);  // [B, 5, 6]
               const at::Tensor z = at::linear(y.slice(1, 0, 4).transpose(1, 2).tanh(), v);
               return at::layer_norm(at::linear(z.transpose(1, 2), w.new_ones({6, 6})).slice(1, 0, 3).transpose(1, 2).repeat({1, 1, 2}).slice(2, 0, 4), {6, 4}, w);
             };
           }), tokens(5, 6)},
          {"layer norm on data, over two dimensions", eager([](Net& net) -> Forward {
             auto n = net.add("n", LayerNorm(LayerNormOptions({3, 4})));
             return [=](const at::Tensor& x) { return n.ptr()->forward(x); };
           }), features({2, 3, 4})}};
}

std::vector<Case> script_cases() {
  return {{"scripted mlp", scripted({{"w", {5, 4}}, {"b", {5}}, {"v", {2, 5}}},
                                    "def forward(self, x):\n  return torch.linear(torch.relu(torch.linear(x, self.w, self.b)), self.v)\n"),
           features({4})},
          {"scripted over a sequence, scale frozen",
           scripted({{"w", {5, 4}}, {"b", {5}}, {"g", {5}, false}, {"s", {5}}},
                    "def forward(self, x):\n  y = torch.linear(x, self.w, self.b)\n"
                    "  return torch.layer_norm(y, [5], self.g, self.s, 1e-5)\n"),
           features({6, 4})},
          {"scripted tied head", scripted({{"e", {6, 4}}, {"w", {4, 4}}},
                                          "def forward(self, x):\n  y = torch.embedding(self.e, x)\n"
                                          "  return torch.linear(torch.tanh(torch.linear(y, self.w)), self.e)\n"),
           tokens(7, 6)},
          {"scripted by matmul", scripted({{"w", {5, 4}}, {"b", {5}}},
                                          "def forward(self, x):\n  return torch.add(torch.matmul(x, self.w.t()), self.b)\n"),
           features({3, 4})},
          {"scripted loop", scripted({{"w", {4, 4}}, {"b", {4}}},
                                     "def forward(self, x):\n  for i in range(3):\n"
                                     "    x = torch.tanh(torch.linear(x, self.w, self.b))\n  return x\n"),
           features({4})}};
}

}  // namespace sotto

#include "tests/engine/subject.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;
using T = const at::Tensor&;

// A linear layer in front, so that input gradients matter, and a parameter `w` that `body` combines with its output.
Factory with_w(const at::Tensor& w, const std::function<at::Tensor(T y, T w)>& body, int64_t outputs = 4) {
  return eager([=](Net& net) -> Forward {
    auto a = net.add("a", Linear(4, outputs));
    const at::Tensor own = net.own("w", w.clone());
    return [=](const at::Tensor& x) { return body(a.ptr()->forward(x), own); };
  });
}

std::vector<Case> arithmetic() {
  const at::Tensor row = at::rand({4}) + 0.5, table = at::rand({3, 4}) + 0.5, number = at::rand({}) + 0.5;
  const auto input = features({3, 4});
  return {{"x + w", with_w(table, [](T y, T w) { return y + w; }), input},
          {"w + x", with_w(row, [](T y, T w) { return w + y; }), input},
          {"x + 2 w", with_w(row, [](T y, T w) { return at::add(y, w, 2); }), input},
          {"w + 2 x", with_w(table, [](T y, T w) { return at::add(w, y, 2); }), input},
          {"x - 3 w", with_w(row, [](T y, T w) { return at::sub(y, w, 3); }), input},
          {"w - x", with_w(table, [](T y, T w) { return w - y; }), input},
          {"x w", with_w(row, [](T y, T w) { return y * w; }), input},
          {"w x", with_w(table, [](T y, T w) { return w * y; }), input},
          {"x / w", with_w(row, [](T y, T w) { return y / w; }), input},
          {"w / x", with_w(table, [](T y, T w) { return w / (y.square() + 1); }), input},
          {"temperature", with_w(number, [](T y, T w) { return y / w; }), input},
          {"temperature, 2-D", with_w(number, [](T y, T w) { return y * w; }), features({4})},
          {"larger of the two", with_w(row, [](T y, T w) { return at::maximum(y, w); }), input},
          {"limited to a parameter", with_w(row, [](T y, T w) { return at::minimum(at::maximum(w, y), y + 1); }), input},
          {"learned power", with_w(row, [](T y, T w) { return at::pow(y.square() + 0.5, w); }), input},
          {"mask token", with_w(row, [](T y, T w) { return at::where(y.select(-1, 0).gt(0).unsqueeze(-1), y, w); }), input},
          {"added in place", with_w(row, [](T y, T w) { return y.sin().add_(w, 2).relu_(); }), input},
          {"subtracted in place", with_w(table, [](T y, T w) { return y.sin().sub_(w); }), input},
          {"multiplied in place", with_w(row, [](T y, T w) { return (y + 1).mul_(w).tanh_(); }), input},
          {"divided in place", with_w(row, [](T y, T w) { return (y + 1).div_(w); }), input},
          {"a part changed in place", with_w(row, [](T y, T w) {
             at::Tensor z = y.sin();
             z.select(1, 1).mul_(w);
             return z.square();
           }), input},
          {"scale and shift in one", with_w(row, [](T y, T w) { return (y * w).tanh() + w; }), input},
          {"x broadcast to w", with_w(table, [](T y, T w) { return y.narrow(1, 0, 1) * w; }), input},
          {"scale a head", with_w(at::rand({2, 1, 1}), [](T y, T w) { return y.view({-1, 3, 2, 2}).transpose(1, 2) * w; }), input},
          {"raw data", eager([](Net& net) -> Forward {
             const at::Tensor w = net.own("w", at::randn({3, 4})), v = net.own("v", at::randn({4}));
             return [=](const at::Tensor& x) { return (x + w) * v; };
           }), input},
          {"scale that is a linear weight too", with_w(at::randn({4, 4}), [](T y, T w) { return at::linear(y, w) * w.select(0, 1) + y * w.select(0, 1); }), input},
          {"scale frozen, shift not", eager([](Net& net) -> Forward {
             auto a = net.add("a", Linear(4, 4));
             const at::Tensor w = net.own("w", at::randn({4})).set_requires_grad(false), v = net.own("v", at::randn({4}));
             return [=](const at::Tensor& x) { return a.ptr()->forward(x) * w + v; };
           }), input},
          {"scripted scale and shift", scripted({{"w", {5, 4}}, {"s", {5}}, {"p", {6, 5}}, {"t", {}}},
                                               "def forward(self, x):\n  y = torch.linear(x, self.w) * self.s + self.p\n"
                                               "  return (y - self.s) * self.t\n"),
           features({6, 4})}};
}

std::vector<Case> views() {
  const auto input = features({3, 4});
  return {{"table of more places", with_w(at::randn({7, 4}), [](T y, T w) { return y + w.narrow(0, 2, 3); }), input},
          {"table of more places, batched", with_w(at::randn({1, 7, 4}), [](T y, T w) { return y + w.slice(1, 0, 3); }), input},
          {"every other place", with_w(at::randn({6, 4}), [](T y, T w) { return y + w.slice(0, 0, 6, 2); }), input},
          {"one row", with_w(at::randn({5, 4}), [](T y, T w) { return y * w.select(0, 3); }), input},
          {"two rows, one twice", with_w(at::randn({5, 4}), [](T y, T w) { return y * w[3] + w[1] + w[3]; }), input},
          {"unsqueezed", with_w(at::randn({3}), [](T y, T w) { return y * w.unsqueeze(-1); }), input},
          {"transposed", with_w(at::randn({4, 3}), [](T y, T w) { return y * w.t(); }), input},
          {"parts of one parameter", with_w(at::randn({8}), [](T y, T w) {
             const auto parts = w.chunk(2);
             return y * parts[0] + parts[1];
           }), input},
          {"expanded to the positions", with_w(at::randn({4}), [](T y, T w) { return y * w.expand_as(y); }), input},
          {"expanded to the samples", with_w(at::randn({1, 1, 4}), [](T y, T w) { return at::cat({w.expand({y.size(0), -1, -1}), y}, 1); }), input},
          {"expanded after a slice", with_w(at::randn({3, 4}), [](T y, T w) { return at::cat({w.narrow(0, 1, 1).expand({y.size(0), 2, 4}), y}, 1); }), input},
          {"repeated", with_w(at::randn({1, 2, 4}), [](T y, T w) { return at::cat({w.repeat({y.size(0), 2, 1}), y}, 1); }), input},
          {"repeated from no dimension", with_w(at::randn({4}), [](T y, T w) { return y * w.repeat({y.size(0), 3, 1}); }), input},
          {"a matrix a sample", with_w(at::randn({4, 5}), [](T y, T w) { return at::bmm(y, w.expand({y.size(0), 4, 5})); }), input}};
}

std::vector<Case> prelu() {
  return {{"prelu, one slope", with_w(at::rand({1}), [](T y, T w) { return at::prelu(y, w); }), features({3, 4})},
          {"prelu, a slope a channel", with_w(at::rand({3}), [](T y, T w) { return at::prelu(y, w); }), features({3, 4})},
          {"prelu, a slope a feature", with_w(at::rand({4}), [](T y, T w) { return at::prelu(y, w); }), features({4})},
          {"prelu on data", eager([](Net& net) -> Forward {
             const at::Tensor w = net.own("w", at::rand({2})), v = net.own("v", at::randn({3}));
             return [=](const at::Tensor& x) { return at::prelu(x, w) + v; };
           }), features({2, 3, 3})},
          {"prelu network", eager([](Net& net) -> Forward {
             auto a = net.add("a", Linear(4, 6)), b = net.add("b", Linear(6, 6)), c = net.add("c", Linear(6, 2));
             const at::Tensor v = net.own("v", at::rand({6})), w = net.own("w", at::rand({1}));
             return [=](const at::Tensor& x) {
               return c.ptr()->forward(at::prelu(b.ptr()->forward(at::prelu(a.ptr()->forward(x), v)), w));
             };
           }), features({4})}};
}

}  // namespace

std::vector<Case> elementwise_cases() {
  std::vector<Case> cases = arithmetic();
  for (const auto& more : {views(), prelu()}) cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace sotto

#include "tests/engine/subject.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;
using T = const at::Tensor&;

// A linear layer in front, so that input gradients matter, and a parameter `w` of its own behind.
Factory with_w(std::vector<int64_t> shape, const std::function<at::Tensor(T y, T w)>& body) {
  return eager([=](Net& net) -> Forward {
    auto a = net.add("a", Linear(4, 4));
    const at::Tensor w = net.own("w", at::randn(shape));
    return [=](const at::Tensor& x) { return body(a.ptr()->forward(x), w); };
  });
}

// As GPT-2 has it: weights are [inputs, outputs].
at::Tensor conv1d(T x, T weight, T bias) {
  return at::addmm(bias, x.reshape({-1, x.size(-1)}), weight).view({x.size(0), -1, weight.size(1)});
}

std::vector<Case> products() {
  const auto flat = features({4}), sequence = features({3, 4}), long_sequence = features({20, 4});
  return {{"x w", with_w({4, 5}, [](T y, T w) { return at::matmul(y, w); }), flat},
          {"x w over a sequence", with_w({4, 5}, [](T y, T w) { return at::matmul(y, w); }), sequence},
          {"x w over a long sequence", with_w({4, 5}, [](T y, T w) { return at::matmul(y, w); }), long_sequence},
          {"mm", with_w({4, 5}, [](T y, T w) { return at::mm(y, w); }), flat},
          {"addmm, not transposed", eager([](Net& net) -> Forward {
             auto a = net.add("a", Linear(4, 4));
             const at::Tensor w = net.own("w", at::randn({4, 5})), b = net.own("b", at::randn({5}));
             return [=](const at::Tensor& x) { return at::addmm(b, a.ptr()->forward(x), w); };
           }), flat},
          {"addmm with factors", eager([](Net& net) -> Forward {
             auto a = net.add("a", Linear(4, 4));
             const at::Tensor w = net.own("w", at::randn({4, 5})), b = net.own("b", at::randn({5}));
             return [=](const at::Tensor& x) { return at::addmm(b, a.ptr()->forward(x), w, 2, 3); };
           }), flat},
          {"addmm, weight frozen", eager([](Net& net) -> Forward {
             const at::Tensor w = net.own("w", at::randn({4, 5})).set_requires_grad(false), b = net.own("b", at::randn({5}));
             return [=](const at::Tensor& x) { return at::addmm(b, x, w); };
           }), flat},
          {"linear with a transposed weight", with_w({4, 5}, [](T y, T w) { return at::linear(y, w.t()); }), sequence},
          {"transposed twice", with_w({5, 4}, [](T y, T w) { return at::matmul(y, w.t().t().t()); }), sequence},
          {"both ways round", with_w({4, 4}, [](T y, T w) { return at::matmul(at::linear(y, w).tanh(), w); }), sequence},
          {"vector at the end", with_w({4}, [](T y, T w) { return at::matmul(y, w); }), sequence},
          {"mv", with_w({4}, [](T y, T w) { return at::mv(y, w); }), flat},
          {"vector in front", with_w({3}, [](T y, T w) { return at::matmul(w, y); }), sequence},
          {"matrix in front", with_w({5, 3}, [](T y, T w) { return at::matmul(w, y); }), sequence},
          {"matrix in front of the transpose", with_w({5, 4}, [](T y, T w) { return at::mm(w, y.t()).t(); }), flat},
          {"a matrix a head", with_w({2, 2, 5}, [](T y, T w) { return at::matmul(y.view({-1, 3, 2, 2}).transpose(1, 2), w); }), sequence},
          {"a matrix a head, samples in the rows", with_w({3, 4, 5}, [](T y, T w) { return at::matmul(y.unsqueeze(2), w).squeeze(2); }), sequence},
          {"shared through an expansion", with_w({4, 5}, [](T y, T w) { return at::bmm(y, w.unsqueeze(0).expand({y.size(0), -1, -1})); }), sequence},
          {"einsum as a linear layer", with_w({4, 5}, [](T y, T w) { return at::einsum("bld,dp->blp", {y, w}); }), sequence},
          {"einsum to heads", with_w({4, 2, 5}, [](T y, T w) { return at::einsum("b l d, d h p -> b l h p", {y, w}); }), sequence},
          {"einsum with a matrix a head", with_w({2, 2, 5}, [](T y, T w) { return at::einsum("hdp,blhd->bhlp", {w, y.view({-1, 3, 2, 2})}); }), sequence},
          {"einsum that scales", with_w({3, 4}, [](T y, T w) { return at::einsum("bld,ld->bdl", {y, w}); }), sequence}};
}

std::vector<Case> slices() {
  const auto flat = features({4}), sequence = features({3, 4});
  return {{"rows of a weight", with_w({8, 4}, [](T y, T w) { return at::linear(y, w.narrow(0, 2, 4)); }), sequence},
          {"rows of a weight, 2-D", with_w({8, 4}, [](T y, T w) { return at::linear(y, w.narrow(0, 2, 4)); }), flat},
          {"two parts of a weight", with_w({9, 4}, [](T y, T w) { return at::linear(y, w.slice(0, 0, 4)) * at::linear(y, w.slice(0, 5, 9)); }), sequence},
          {"parts of a weight that overlap", with_w({8, 4}, [](T y, T w) { return at::linear(y, w.slice(0, 0, 5)).narrow(-1, 0, 4) * at::linear(y, w.slice(0, 4, 8)); }), sequence},
          {"a part and the whole", with_w({4, 4}, [](T y, T w) { return at::linear(at::linear(y, w).tanh().narrow(-1, 0, 4), w.narrow(0, 1, 2)); }), sequence},
          {"rows of a table tied to what is read from it", with_w({6, 4}, [](T y, T w) { return at::linear(y + at::embedding(w, y.select(-1, 0).gt(0).to(at::kLong) + 2), w.narrow(0, 1, 4)); }), sequence},
          {"two shapes of one parameter", with_w({2, 8}, [](T y, T w) { return at::linear(at::linear(y, w.view({4, 4})).repeat({1, 1, 2}), w); }), sequence},
          {"columns of a weight", with_w({5, 8}, [](T y, T w) { return at::linear(y, w.narrow(1, 3, 4)); }), sequence},
          {"inputs of a weight [inputs, outputs]", with_w({9, 5}, [](T y, T w) { return at::matmul(y, w.narrow(0, 3, 4)); }), sequence},
          {"an expert of several", with_w({3, 5, 4}, [](T y, T w) { return at::linear(y, w[0]) + at::linear(y, w[2]).tanh(); }), sequence},
          {"a bias's part", eager([](Net& net) -> Forward {
             auto a = net.add("a", Linear(4, 4));
             const at::Tensor w = net.own("w", at::randn({9, 4})), b = net.own("b", at::randn({9}));
             return [=](const at::Tensor& x) {
               const at::Tensor y = a.ptr()->forward(x);
               at::Tensor sum;
               for (int64_t k = 0; k < 3; ++k) {
                 const at::Tensor part = at::linear(y, w.narrow(0, 3 * k, 3), b.narrow(0, 3 * k, 3)).tanh();
                 sum = k == 0 ? part : sum * part + part;
               }
               return sum;
             };
           }), sequence}};
}

std::vector<Case> models() {
  return {{"vision transformer", eager([](Net& net) -> Forward {  // 6 x 6 images of 2 channels, 2 x 2 patches
             auto patches = net.add("patches", Linear(8, 12)), up = net.add("up", Linear(12, 20)), down = net.add("down", Linear(20, 12)),
                  qkv = net.add("qkv", Linear(12, 36)), out = net.add("out", Linear(12, 12)), head = net.add("head", Linear(12, 3));
             auto before = net.add("before", LayerNorm(LayerNormOptions({12}))), between = net.add("between", LayerNorm(LayerNormOptions({12})));
             const at::Tensor token = net.own("token", at::randn({1, 1, 12})), places = net.own("places", at::randn({1, 10, 12}) * 0.3),
                              first = net.own("first_scale", at::rand({12})), second = net.own("second_scale", at::rand({12}));
             return [=](const at::Tensor& x) {
               const int64_t batch = x.size(0);
               const at::Tensor cut = x.view({batch, 2, 3, 2, 3, 2}).permute({0, 2, 4, 1, 3, 5}).reshape({batch, 9, 8});
               at::Tensor y = at::cat({token.expand({batch, -1, -1}), patches.ptr()->forward(cut)}, 1) + places;
               const auto parts = qkv.ptr()->forward(before.ptr()->forward(y)).view({batch, 10, 3, 2, 6}).permute({2, 0, 3, 1, 4}).unbind(0);
               const at::Tensor weights = at::softmax(at::matmul(parts[0], parts[1].transpose(-1, -2)) / 2.449, -1);
               y = y + first * out.ptr()->forward(at::matmul(weights, parts[2]).transpose(1, 2).reshape({batch, 10, 12}));
               y = y + second * down.ptr()->forward(at::gelu(up.ptr()->forward(between.ptr()->forward(y))));
               return head.ptr()->forward(y.select(1, 0));
             };
           }), features({2, 6, 6})},
          {"attention with a part of one weight each", eager([](Net& net) -> Forward {
             const at::Tensor w = net.own("in_proj_weight", at::randn({24, 8}) * 0.4), b = net.own("in_proj_bias", at::randn({24}));
             auto out = net.add("out", Linear(8, 3));
             return [=](const at::Tensor& x) {  // queries from the first half, keys and values from the second
               const at::Tensor from = x.narrow(1, 0, 3), to = x.narrow(1, 3, 4);
               const auto weights = w.chunk(3);
               const at::Tensor q = at::linear(from, weights[0], b.narrow(0, 0, 8)), k = at::linear(to, weights[1], b.narrow(0, 8, 8)),
                                v = at::linear(to, weights[2], b.narrow(0, 16, 8));
               return out.ptr()->forward(at::matmul(at::softmax(at::matmul(q, k.transpose(1, 2)) / 3, -1), v));
             };
           }), features({7, 8})}};
}

}  // namespace

std::vector<Case> matmul_cases() {
  std::vector<Case> cases = products();
  for (const auto& more : {slices(), models()}) cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

// GPT-2's layers flatten [batch, length] for addmm, so that the batch is merged with the positions.
Case gpt2_block() {
  return {"GPT-2 block", eager([](Net& net) -> Forward {
            auto words = net.add("words", Embedding(11, 8));
            const at::Tensor places = net.own("places", at::randn({9, 8}) * 0.3);
            auto before = net.add("before", LayerNorm(LayerNormOptions({8}))), between = net.add("between", LayerNorm(LayerNormOptions({8}))),
                 last = net.add("last", LayerNorm(LayerNormOptions({8})));
            const auto pair = [&net](const std::string& name, int64_t inputs, int64_t outputs) {
              return std::pair(net.own(name + "_weight", at::randn({inputs, outputs}) * 0.3), net.own(name + "_bias", at::randn({outputs})));
            };
            const auto attend = pair("attend", 8, 24), project = pair("project", 8, 8), up = pair("up", 8, 32), down = pair("down", 32, 8);
            return [=](const at::Tensor& ids) {
              const int64_t batch = ids.size(0), length = ids.size(1);
              at::Tensor y = words.ptr()->forward(ids) + places.narrow(0, 0, length);
              const auto parts = conv1d(before.ptr()->forward(y), attend.first, attend.second).split(8, 2);
              const auto heads = [&](const at::Tensor& z) { return z.view({batch, length, 2, 4}).transpose(1, 2); };
              const at::Tensor later = at::ones({length, length}, at::kBool).triu(1);
              const at::Tensor scores = (at::matmul(heads(parts[0]), heads(parts[1]).transpose(-1, -2)) / 2).masked_fill(later, -1e9);
              const at::Tensor mixed = at::matmul(at::softmax(scores, -1), heads(parts[2])).transpose(1, 2).reshape({batch, length, 8});
              y = y + conv1d(mixed, project.first, project.second);
              y = y + conv1d(at::gelu(conv1d(between.ptr()->forward(y), up.first, up.second), "tanh"), down.first, down.second);
              return at::linear(last.ptr()->forward(y), words->weight);  // the head is the table
            };
          }), tokens(6, 11)};
}

}  // namespace sotto

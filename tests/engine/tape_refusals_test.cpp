#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>

#include "base/error.h"
#include "engine/tape/recorder.h"
#include "engine/tape/tape.h"
#include "tests/engine/subject.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

// The message of the configuration error that a pass over 4 samples ends with, or "" where it is accepted.
std::string refusal(const Factory& make, const at::Tensor& input,
                    const std::function<at::Tensor(const at::Tensor&)>& loss = wavy_loss) {
  try {
    const Subject subject = make();
    const Parameters parameters(subject.named());
    Tape tape(Exec::cpu(1), parameters);
    tape.per_sample(input.size(0), [&] { return loss(subject.forward(input)); });
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration) << error.what();
    return error.what();
  }
}

// A net with one 4 x 4 linear layer `a` and a free parameter `w` of the given shape.
Factory with_w(std::vector<int64_t> shape, std::function<at::Tensor(const at::Tensor& x, Linear& a, const at::Tensor& w)> body) {
  return eager([=](Net& net) -> Forward {
    auto a = net.add("a", Linear(4, 4));
    const at::Tensor w = net.own("free_w", at::randn(shape));
    return [=](const at::Tensor& x) mutable { return body(x, a, w); };
  });
}

TEST(TapeRefuses, AUseThatNoRuleCoversByTheParametersName) {
  using T = const at::Tensor&;
  const struct {
    const char* what;
    std::vector<int64_t> shape;
    std::function<at::Tensor(T, Linear&, T)> body;
  } cases[] = {
      {"a cast weight", {4, 4}, [](T x, Linear& a, T w) { return at::linear(a(x).to(at::kDouble), w.to(at::kDouble)); }},
      {"weight normalisation", {4, 4}, [](T x, Linear& a, T w) { return at::linear(a(x), w / w.norm()); }},
      {"weight normalisation by rows", {4, 4}, [](T x, Linear& a, T w) { return at::linear(a(x), w / w.norm(2, 1, true)); }},
      {"a product of parameters", {4, 4}, [](T x, Linear& a, T w) { return at::linear(a(x), at::mm(w, w)); }},
      {"a function of a parameter", {4}, [](T x, Linear& a, T w) { return a(x) * w.exp(); }},
      {"two parameters added", {3, 4}, [](T x, Linear& a, T w) { return a(x) + (w + w.narrow(0, 0, 1)); }},
      {"a view in which elements overlap", {6}, [](T x, Linear& a, T w) { return a(x) + w.unfold(0, 4, 1); }},
      {"a penalty in the loss", {4}, [](T x, Linear& a, T w) { return a(x) * w.square().sum(); }},
      {"once in a rule and once outside", {4, 4}, [](T x, Linear& a, T w) { return at::linear(a(x), w) + w.tanh().sum(); }}};
  for (const auto& c : cases) {
    const std::string message = refusal(with_w(c.shape, c.body), at::randn({5, 3, 4}));
    EXPECT_NE(message.find("free_w"), std::string::npos) << c.what << ": " << message;
    EXPECT_NE(message.find("freeze it"), std::string::npos) << c.what << ": " << message;
  }
  // The same parameter, frozen, is no concern of the tape's.
  EXPECT_EQ(refusal(eager([](Net& net) -> Forward {
              auto a = net.add("a", Linear(4, 4));
              const at::Tensor w = net.own("w", at::randn({4})).set_requires_grad(false);
              return [=](const at::Tensor& x) { return a.ptr()->forward(x) * w; };
            }), at::randn({5, 4})), "");
}

TEST(TapeRefuses, ABatchThatIsNotDimensionZero) {
  const Factory merged = eager([](Net& net) -> Forward {
    auto a = net.add("a", Linear(4, 4));
    return [=](const at::Tensor& x) { return a.ptr()->forward(x.view({-1, 4})).view({x.size(0), -1}); };
  });
  const Factory time_first = eager([](Net& net) -> Forward {
    auto a = net.add("a", Linear(4, 4));
    return [=](const at::Tensor& x) { return a.ptr()->forward(x.transpose(0, 1)).transpose(0, 1); };
  });
  const Factory shared_places = eager([](Net& net) -> Forward {
    auto e = net.add("a", Embedding(3, 4));
    return [=](const at::Tensor& x) { return x + e.ptr()->forward(at::arange(3, at::kLong).unsqueeze(0)); };
  });
  const Factory norm = eager([](Net& net) -> Forward {
    auto n = net.add("a", LayerNorm(LayerNormOptions({4})));
    return [=](const at::Tensor& x) { return n.ptr()->forward(x.flatten(0, 1)).view_as(x); };
  });
  const Factory script = scripted({{"a", {4, 4}}}, "def forward(self, x):\n  return torch.linear(x.view([-1, 4]), self.a).view([-1, 12])\n");
  for (const Factory& make : {merged, time_first, shared_places, norm, script}) {
    const std::string message = refusal(make, at::randn({5, 3, 4}));
    EXPECT_NE(message.find("parameter a"), std::string::npos) << message;
    EXPECT_NE(message.find("batch"), std::string::npos) << message;
  }
}

TEST(TapeRefuses, ModelsThatCannotBeTrainedPrivately) {
  const Factory batch_norm = eager([](Net& net) -> Forward {
    auto a = net.add("a", Linear(4, 4));
    auto n = net.add("norm1", BatchNorm1d(4));
    return [=](const at::Tensor& x) { return n.ptr()->forward(a.ptr()->forward(x)); };
  });
  EXPECT_NE(refusal(batch_norm, at::randn({5, 4})).find("norm1.weight"), std::string::npos);
  const Factory by_frequency = eager([](Net& net) -> Forward {
    auto e = net.add("table", Embedding(EmbeddingOptions(6, 4).scale_grad_by_freq(true)));
    return [=](const at::Tensor& x) { return e.ptr()->forward(x); };
  });
  EXPECT_NE(refusal(by_frequency, at::randint(6, {5, 3}, at::kLong)).find("table.weight"), std::string::npos);
  const Factory renormalised = eager([](Net& net) -> Forward {
    auto e = net.add("table", Embedding(EmbeddingOptions(6, 4).max_norm(0.5)));
    return [=](const at::Tensor& x) { return e.ptr()->forward(x); };
  });
  // It would write into the weights which words the batch has.
  EXPECT_NE(refusal(renormalised, at::randint(6, {5, 3}, at::kLong)).find("table.weight"), std::string::npos);
}

TEST(TapeRefuses, ALossThatIsNotOneNumberASample) {
  const Factory one = eager([](Net& net) -> Forward {
    auto a = net.add("a", Linear(4, 1));
    return [=](const at::Tensor& x) { return a.ptr()->forward(x); };
  });
  const at::Tensor x = at::randn({5, 4});
  EXPECT_EQ(refusal(one, x, [](const at::Tensor& y) { return y.squeeze(1); }), "");
  for (const auto& loss : std::vector<Forward>{[](const at::Tensor& y) { return y.mean(); }, [](const at::Tensor& y) { return y; },
                                               [](const at::Tensor& y) { return y.mean().view({1}); }})
    EXPECT_NE(refusal(one, x, loss).find("one entry a sample"), std::string::npos);
  EXPECT_NE(refusal(one, x, [](const at::Tensor& y) { return y.detach().squeeze(1); }).find("does not depend"), std::string::npos);
}

TEST(TapeRefuses, ParametersItCannotUpdate) {
  const auto message = [](std::vector<std::pair<std::string, at::Tensor>> named) -> std::string {
    try {
      const Parameters parameters(named);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  };
  const at::Tensor good = at::randn({3, 4}).set_requires_grad(true);
  EXPECT_EQ(message({{"good", good}, {"same", good}, {"frozen", at::randn({2}, at::kDouble)}}), "");
  EXPECT_EQ(Parameters({{"good", good}, {"same", good}}).size(), 1);
  EXPECT_NE(message({}).find("no trainable parameter"), std::string::npos);
  EXPECT_NE(message({{"w", at::randn({2})}}).find("no trainable parameter"), std::string::npos);
  for (const at::ScalarType type : {at::kDouble, at::kHalf, at::kBFloat16})
    EXPECT_NE(message({{"odd.w", at::zeros({2}, type).set_requires_grad(true)}}).find("odd.w"), std::string::npos);
  EXPECT_NE(message({{"odd.w", at::randn({4, 3}).t().set_requires_grad(true)}}).find("odd.w"), std::string::npos);
}

// Registrations by static constructors vanish from static libraries; these are counted.
TEST(Tape, EveryRuleIsRegistered) {
  const at::Tensor w = at::randn({2}).set_requires_grad(true);
  const Parameters parameters({{"w", w}});
  const Tape tape(Exec::cpu(1), parameters);
  const std::pair<const char*, const char*> captured[] = {
      {"aten::linear", ""}, {"aten::addmm", ""}, {"aten::matmul", ""}, {"aten::mm", ""}, {"aten::bmm", ""},
      {"aten::mv", ""}, {"aten::einsum", ""}, {"aten::add", "Tensor"}, {"aten::add_", "Tensor"}, {"aten::sub", "Tensor"},
      {"aten::sub_", "Tensor"}, {"aten::mul", "Tensor"}, {"aten::mul_", "Tensor"}, {"aten::div", "Tensor"}, {"aten::div_", "Tensor"},
      {"aten::maximum", ""}, {"aten::minimum", ""}, {"aten::pow", "Tensor_Tensor"}, {"aten::where", "self"}, {"aten::prelu", ""},
      {"aten::expand", ""}, {"aten::repeat", ""}, {"aten::embedding", ""}, {"aten::embedding_bag", ""},
      {"aten::embedding_bag", "padding_idx"}, {"aten::_embedding_bag", ""}, {"aten::layer_norm", ""}, {"aten::rms_norm", ""},
      {"aten::group_norm", ""}, {"aten::instance_norm", ""},
      {"aten::convolution", ""}, {"aten::_convolution", ""},
      {"aten::_convolution", "deprecated"}, {"aten::_convolution_mode", ""}, {"aten::conv1d", ""}, {"aten::conv2d", ""},
      {"aten::conv3d", ""}, {"aten::conv1d", "padding"}, {"aten::conv2d", "padding"}, {"aten::conv3d", "padding"},
      {"aten::conv_transpose1d", ""}, {"aten::conv_transpose2d", "input"}, {"aten::conv_transpose3d", "input"},
      {"aten::lstm", "input"}, {"aten::gru", "input"}, {"aten::rnn_tanh", "input"}, {"aten::rnn_relu", "input"},
      {"aten::lstm", "data"}, {"aten::gru", "data"}, {"aten::rnn_tanh", "data"}, {"aten::rnn_relu", "data"},
      {"aten::lstm_cell", ""}, {"aten::gru_cell", ""}, {"aten::rnn_tanh_cell", ""}, {"aten::rnn_relu_cell", ""},
      {"aten::batch_norm", ""}};
  for (const auto& [name, overload] : captured) {
    const auto schema = c10::Dispatcher::singleton().findSchema({name, overload});
    ASSERT_TRUE(schema) << name;
    EXPECT_TRUE(schema->hasKernelForDispatchKey(kCaptureKey)) << name;
  }
  EXPECT_FALSE(c10::impl::tls_is_dispatch_key_included(kCaptureKey)) << "capture is on outside a pass";
}

}  // namespace
}  // namespace sotto

#include "engine/tape/explain.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>

#include "base/error.h"
#include "engine/tape/flops.h"
#include "tests/engine/subject.h"

namespace sotto {
namespace {

std::vector<ParameterRule> rules_of(const std::vector<Case>& cases, const std::string& name, int64_t batch,
                                    int64_t storage) {
  for (const Case& c : cases)
    if (c.name == name) {
      at::manual_seed(1);
      const Subject subject = c.make();
      const Parameters parameters(subject.named());
      Tape tape(Exec::cpu(1), parameters);
      tape.set_storage_limit(storage);
      const at::Tensor input = c.input(batch);
      const GradSamples grads = tape.per_sample(batch, [&] { return wavy_loss(subject.forward(input)); });
      return explain(parameters, grads, tape.uses(), tape.uncaptured());
    }
  ADD_FAILURE() << "no case " << name;
  return {};
}

TEST(Explain, TellsEveryParametersRuleInItsOrder) {
  for (const auto& cases : {linear_cases(), embedding_cases(), norm_cases(), script_cases()})
    for (const Case& c : cases)
      for (const int64_t storage : {int64_t{1} << 30, int64_t{0}}) {
        const Parameters parameters(c.make().named());
        const auto rules = rules_of(cases, c.name, 3, storage);
        ASSERT_EQ(static_cast<int64_t>(rules.size()), parameters.size()) << c.name;
        for (int64_t k = 0; k < parameters.size(); ++k) {
          const ParameterRule& rule = rules[static_cast<size_t>(k)];
          EXPECT_EQ(rule.name, parameters.name(k));
          EXPECT_FALSE(rule.operations.empty()) << c.name << " " << rule.name;
          EXPECT_FALSE(rule.rule.empty() || rule.rule.starts_with("no gradient")) << c.name << " " << rule.name;
          EXPECT_GE(rule.least_flops, 0);
        }
      }
}

TEST(Explain, CountsAsTheFormulasSay) {
  const auto mlp = rules_of(linear_cases(), "mlp", 5, 1 << 30);
  const double p = static_cast<double>(mlp[0].shape[0]), d = static_cast<double>(mlp[0].shape[1]);
  EXPECT_EQ(mlp[0].rule, "outer product");
  EXPECT_EQ(mlp[0].flops, 2 * 5 * (p + d));
  EXPECT_EQ(mlp[0].least_flops, mlp[0].flops);
  EXPECT_EQ(mlp[0].bytes, 4 * 5 * (p + d));
  EXPECT_EQ(mlp[1].rule, "with its weight");
  EXPECT_EQ(mlp[1].flops, 0);
}

TEST(Explain, SaysWhichGradientsAreRounded) {
  const at::Tensor weight = at::randn({8, 6}).set_requires_grad(true);
  const Parameters parameters({{"weight", weight}});
  Tape tape(Exec::cpu(1), parameters);
  const at::Tensor x = at::randn({3, 5, 6});
  for (const NormMethod method : {NormMethod::stored, NormMethod::stored_bf16}) {
    tape.set_norm_methods({{0, method}});
    const GradSamples grads = tape.per_sample(3, [&] { return at::linear(x, weight).flatten(1).sin().sum(1); });
    const ParameterRule rule = explain(parameters, grads, tape.uses(), {})[0];
    EXPECT_EQ(rule.rule, to_string(method));
    EXPECT_EQ(rule.bytes, (method == NormMethod::stored ? 4 : 2) * 3 * 48);
  }
}

TEST(Explain, FloorAddsTheLeastToThePlainStep) {
  std::vector<ParameterRule> rules(2);
  rules[0].least_flops = 30;
  rules[1].least_flops = 60;
  rules[1].flops = 1e9;  // what was chosen does not matter
  EXPECT_DOUBLE_EQ(flop_floor(rules, 300), 1.3);
  EXPECT_THROW(flop_floor(rules, 0), Error);
}

TEST(Flops, CountsProductsConvolutionsAndAttentionOnce) {
  const at::NoGradGuard no_grad;
  const at::Tensor a = at::randn({5, 7}), b = at::randn({7, 3});
  const auto count = [](const std::function<void()>& work) { return step_flops(work); };
  EXPECT_EQ(count([&] { at::mm(a, b); }), 2 * 5 * 7 * 3);
  EXPECT_EQ(count([&] { at::linear(a, b.t(), at::zeros({3})); }), 2 * 5 * 7 * 3);
  EXPECT_EQ(count([&] { at::linear(at::randn({2, 5, 7}), b.t()); }), 2 * 2 * 5 * 7 * 3);
  EXPECT_EQ(count([&] { at::bmm(at::randn({2, 5, 7}), at::randn({2, 7, 3})); }), 2 * 2 * 5 * 7 * 3);
  EXPECT_EQ(count([&] { (a + 1).relu().sum(); }), 0);
  // Output [2, 6, 4, 4]; each entry takes 4/2 · 3 · 3 products.
  EXPECT_EQ(count([&] {
              at::conv2d(at::randn({2, 4, 8, 8}), at::randn({6, 2, 3, 3}), {}, 2, 1, 1, 2);
            }),
            2 * 2 * 6 * 16 * 18);
  EXPECT_EQ(count([&] { at::conv_transpose1d(at::randn({2, 4, 9}), at::randn({4, 3, 5})); }), 2 * 2 * 4 * 9 * 15);
  const at::Tensor q = at::randn({2, 3, 8, 4}), k = at::randn({2, 3, 8, 4});
  EXPECT_EQ(count([&] { at::scaled_dot_product_attention(q, k, k); }), 4 * 2 * 3 * 8 * 8 * 4);
}

TEST(Flops, CountEachGradientThatIsNeededAndNoOther) {
  const auto trained = [](at::IntArrayRef shape) { return at::randn(shape).set_requires_grad(true); };
  const auto times = [](const std::function<void()>& work, double once) { return step_flops(work) / once; };
  const at::Tensor x = at::randn({5, 7}), weight = at::randn({3, 7});
  const double once = 2 * 5 * 7 * 3;
  EXPECT_EQ(times([&] { at::linear(x, trained({3, 7})); }, once), 2) << "data needs no gradient";
  EXPECT_EQ(times([&] { at::linear(trained({5, 7}), weight); }, once), 2) << "a frozen weight needs none";
  EXPECT_EQ(times([&] { at::linear(trained({5, 7}), trained({3, 7}), trained({3})); }, once), 3);
  EXPECT_EQ(times([&] { at::linear(trained({5, 7}), weight, trained({3})); }, once), 2);
  const at::Tensor image = at::randn({2, 4, 8, 8}), kernel = at::randn({6, 4, 3, 3});
  const double a_convolution = 2 * 2 * 6 * 36 * 36;
  EXPECT_EQ(times([&] { at::conv2d(image, kernel); }, a_convolution), 1);
  EXPECT_EQ(times([&] { at::conv2d(image, trained({6, 4, 3, 3})); }, a_convolution), 2);
  EXPECT_EQ(times([&] { at::conv2d(trained({2, 4, 8, 8}), trained({6, 4, 3, 3})); }, a_convolution), 3);
  const at::Tensor q = trained({2, 3, 8, 4}), k = at::randn({2, 3, 8, 4});
  const double attention = 4 * 2 * 3 * 8 * 8 * 4;
  EXPECT_EQ(times([&] { at::scaled_dot_product_attention(q, q, q); }, attention), 3);
  EXPECT_EQ(times([&] { at::scaled_dot_product_attention(q, k, k); }, attention), 2) << "of its query and its scores";
  EXPECT_EQ(times([&] { at::scaled_dot_product_attention(k, k, q); }, attention), 1.5) << "of its values alone";
}

}  // namespace
}  // namespace sotto

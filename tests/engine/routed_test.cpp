// Mixtures of experts: rows go where a router sends them.
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/models/routed_linear.h"
#include "engine/tape/by_unit.h"
#include "engine/tape/coverage.h"
#include "engine/tape/explain.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

constexpr int64_t kExperts = 3, kWidth = 4, kHidden = 70;

// Which expert each row of x goes to, by its values; `dropping`: rows of a small first entry go to none.
at::Tensor route(const at::Tensor& x, const at::Tensor& router, bool dropping) {
  const at::Tensor best = std::get<1>(at::matmul(x, router).max(-1));
  return dropping ? at::where(x.select(-1, 0).lt(-0.7), -1, best) : best;
}

// Two routed layers with an activation between, [B, T, width], as experts have.
Case experts(const std::string& name, int64_t length, bool with_bias, bool dropping, bool merged) {
  return {name, eager([=](Net& net) -> Forward {
            auto first = net.add("first", Linear(kWidth, kWidth));
            const at::Tensor up = net.own("up", at::randn({kExperts, kHidden, kWidth})), down = net.own("down", at::randn({kExperts, kWidth, kHidden}));
            const at::Tensor up_bias = with_bias ? net.own("up_bias", at::randn({kExperts, kHidden})) : at::Tensor();
            const at::Tensor router = at::arange(kWidth * kExperts, at::kFloat).mul(7).sin().view({kWidth, kExperts});  // the same in every copy
            return [=](const at::Tensor& x) {
              const at::Tensor rows = merged ? x.reshape({-1, kWidth}) : x, expert = route(rows, router.to(x.dtype()), dropping);
              const at::Tensor hidden = routed_linear(first.ptr()->forward(rows), expert, up, up_bias).tanh();
              // The rest of hidden too, so that rows which no expert takes have a gradient.
              return (routed_linear(hidden, expert, down, {}) + hidden.narrow(-1, 0, kWidth)).reshape({x.size(0), -1});
            };
          }), features({length, kWidth})};
}

void expect_like_the_loop(const Case& c, bool rows_alone) {
  SCOPED_TRACE(c.name);
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(2), parameters);
  check_model(tape, parameters, {[&](int64_t batch, uint64_t seed) {
                                   at::manual_seed(seed);
                                   return c.input(batch);
                                 },
                                 [&](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }});
  EXPECT_EQ(tape.uncaptured().empty(), !rows_alone);
  for (const int64_t batch : {1, 6}) {
    const at::Tensor input = c.input(batch), truth = one_at_a_time(c, subject, input);
    const Measured got = measure(parameters, tape.per_sample(batch, [&](int64_t first, int64_t count) {
      return wavy_loss(subject.forward(input.narrow(0, first, count)));
    }));
    for (int64_t i = 0; i < batch; ++i) {
      // Floats against doubles, through two layers and an activation.
      EXPECT_LE((got.gradients[i] - truth[i]).norm().item<double>(), 2e-5 * truth[i].norm().item<double>()) << i;
      EXPECT_GE(got.squared[i].item<double>(), truth[i].square().sum().item<double>() * (1 - 2e-5)) << i;
      EXPECT_LE(got.squared[i].item<double>(), truth[i].square().sum().item<double>() * (1 + 1e-3)) << i;
    }
  }
}

TEST(RoutedLinear, AgreesWithTheLoop) {
  expect_like_the_loop(experts("a row a sample", 1, true, false, false), false);
  expect_like_the_loop(experts("rows", 7, true, false, false), false);
  expect_like_the_loop(experts("rows merged with the batch", 7, true, false, true), false);
  expect_like_the_loop(experts("dropped rows", 7, true, true, false), false);
  expect_like_the_loop(experts("no bias", 7, false, true, true), false);
  expect_like_the_loop(experts("norms by the gradient itself", 40, true, false, false), false);
}

TEST(RoutedLinear, IsTheSumOverExpertsOfMaskedLinearLayers) {
  at::manual_seed(1);
  const at::Tensor x = at::randn({2, 9, kWidth}), weight = at::randn({kExperts, kHidden, kWidth}), bias = at::randn({kExperts, kHidden});
  const at::Tensor expert = at::randint(-1, kExperts, {2, 9}, at::kLong);
  at::Tensor expected = at::zeros({2, 9, kHidden}, at::kDouble);
  for (int64_t e = 0; e < kExperts; ++e)
    expected += at::linear(x.to(at::kDouble), weight[e].to(at::kDouble), bias[e].to(at::kDouble)) * expert.eq(e).unsqueeze(-1);
  EXPECT_LE((routed_linear(x, expert, weight, bias) - expected).abs().max().item<double>(), 1e-5);
  EXPECT_EQ(routed_linear(x.narrow(1, 0, 0), expert.narrow(1, 0, 0), weight, bias).sizes(), (std::vector<int64_t>{2, 0, kHidden}));
}

TEST(RoutedLinear, RefusesWhatDoesNotFit) {
  const at::Tensor x = at::randn({2, 3, kWidth}), weight = at::randn({kExperts, kHidden, kWidth}), expert = at::zeros({2, 3}, at::kLong);
  EXPECT_THROW(routed_linear(x, expert + kExperts, weight, {}), Error);
  EXPECT_THROW(routed_linear(x, expert - 2, weight, {}), Error);
  EXPECT_THROW(routed_linear(x, expert.to(at::kInt), weight, {}), Error);
  EXPECT_THROW(routed_linear(x, expert.narrow(1, 0, 2), weight, {}), Error);
  EXPECT_THROW(routed_linear(x, expert, weight.transpose(1, 2), {}), Error);
  EXPECT_THROW(routed_linear(x, expert, weight, at::zeros({kHidden})), Error);
}

TEST(RoutedLinear, OneSamplesNaNStaysItsOwn) {
  const Case c = experts("nan", 7, true, false, false);
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  at::Tensor input = c.input(4);
  input[2][1][3] = NAN;
  GradSamples grads = tape.per_sample(4, [&] { return wavy_loss(subject.forward(input)); });
  at::Tensor squared = at::zeros({4}, at::kDouble);
  add_squared_norms(Exec::cpu(1), parameters, grads, squared);
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(std::isfinite(squared[i].item<double>()), i != 2) << i;
  const at::Tensor sum = clipped_sum(grads, parameters, at::tensor({1.f, 1.f, 0.f, 1.f}));
  EXPECT_TRUE(sum.isfinite().all().item<bool>());
}

TEST(RoutedLinear, IsNamedByExplain) {
  const Case c = experts("explained", 7, true, false, false);
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  const at::Tensor input = c.input(4);
  GradSamples grads = tape.per_sample(4, [&] { return wavy_loss(subject.forward(input)); });
  at::Tensor squared = at::zeros({4}, at::kDouble);
  add_squared_norms(Exec::cpu(1), parameters, grads, squared);
  for (const ParameterRule& rule : explain(parameters, grads, tape.uses(), {}))
    if (rule.name == "up" || rule.name == "down") {
      EXPECT_EQ(rule.rule, "routed");
      EXPECT_EQ(rule.operations, std::vector<std::string>{"routed_linear"});
      EXPECT_GT(rule.flops, 0);
    }
}

// The way that models which know nothing of routed_linear do it. No layout tells whose the gathered rows are.
TEST(Routing, RowsGatheredByValueTakeAPassASample) {
  const auto mixture = [](const std::function<at::Tensor(const at::Tensor& rows, const at::Tensor& mine)>& gather) {
    return eager([=](Net& net) -> Forward {
      std::vector<Linear> layers;
      for (int64_t e = 0; e < kExperts; ++e) layers.push_back(net.add(cat("expert", e), Linear(kWidth, kHidden)));
      auto gate = net.add("gate", Linear(kWidth, kExperts));
      return [=](const at::Tensor& x) {
        const at::Tensor rows = x.reshape({-1, kWidth}), chances = gate.ptr()->forward(rows).softmax(-1);
        const auto [best, expert] = chances.max(-1);
        at::Tensor y = at::zeros({rows.size(0), kHidden}, x.options());
        for (int64_t e = 0; e < kExperts; ++e) {
          const at::Tensor mine = expert.eq(e);
          const at::Tensor made = layers[static_cast<size_t>(e)].ptr()->forward(gather(rows, mine)) * best.masked_select(mine).unsqueeze(1);
          y = y.index_add(0, mine.nonzero().squeeze(1), made);
        }
        return y.view({x.size(0), -1});
      };
    });
  };
  expect_like_the_loop({"nonzero", mixture([](const at::Tensor& rows, const at::Tensor& mine) {
                          return rows.index_select(0, mine.nonzero().squeeze(1));
                        }), features({7, kWidth})}, true);
  expect_like_the_loop({"a mask as an index", mixture([](const at::Tensor& rows, const at::Tensor& mine) {
                          return rows.index({mine});
                        }), features({7, kWidth})}, true);
}

}  // namespace
}  // namespace sotto

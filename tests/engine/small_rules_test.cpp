// What the rules of small layers promise beside the table of cases: places of the batch, refusals, storage.
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/instancenorm.h>

#include "base/error.h"
#include "engine/tape/coverage.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

// Checks the model with synthetic samples, as a run does, then compares a batch with the loop.
void expect_like_the_loop(const Case& c, int64_t storage = int64_t{1} << 30) {
  SCOPED_TRACE(c.name);
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  tape.set_storage_limit(storage);
  const Probe probe = {[&](int64_t batch, uint64_t seed) {
                         at::manual_seed(seed);
                         return c.input(batch);
                       },
                       [&](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }};
  check_structure(tape, parameters, probe);
  for (const int64_t batch : {1, 5}) {
    const at::Tensor input = c.input(batch), truth = one_at_a_time(c, subject, input);
    const Measured got = measure(tape, parameters, batch, [&] { return wavy_loss(subject.forward(input)); });
    for (int64_t i = 0; i < batch; ++i) {
      EXPECT_LE((got.gradients[i] - truth[i]).norm().item<double>(), 2e-5 * truth[i].norm().item<double>()) << i;
      EXPECT_GE(got.squared[i].item<double>(), truth[i].square().sum().item<double>() * (1 - 2e-5)) << i;
    }
  }
}

std::string refusal(const Factory& make, const at::Tensor& input) {
  try {
    const Subject subject = make();
    const Parameters parameters(subject.named());
    Tape tape(Exec::cpu(1), parameters);
    tape.per_sample(input.size(0), [&] { return wavy_loss(subject.forward(input)); });
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration) << error.what();
    return error.what();
  }
}

TEST(SmallRules, FindTheSamplesWhereTheModelPutsThem) {
  expect_like_the_loop(gpt2_block());
  expect_like_the_loop(gpt2_block(), 0);
  expect_like_the_loop(grouped_bags());
  const auto time_first = [](const std::string& name, const std::function<Forward(Net&)>& layer) {
    return Case{name + ", time first", eager([=](Net& net) -> Forward {
                  auto a = net.add("a", Linear(4, 4));
                  const Forward own = layer(net);
                  return [=](const at::Tensor& x) { return own(a.ptr()->forward(x.transpose(0, 1))).transpose(0, 1); };
                }), features({6, 4})};
  };
  expect_like_the_loop(time_first("positions", [](Net& net) -> Forward {
    const at::Tensor w = net.own("w", at::randn({6, 1, 4}));
    return [=](const at::Tensor& y) { return y * w + w.select(0, 2); };
  }));
  expect_like_the_loop(time_first("class token", [](Net& net) -> Forward {
    const at::Tensor w = net.own("w", at::randn({4}));
    return [=](const at::Tensor& y) { return at::cat({w.expand({1, y.size(1), 4}), y}); };
  }));
  expect_like_the_loop(time_first("class token repeated", [](Net& net) -> Forward {
    const at::Tensor w = net.own("w", at::randn({2, 1, 4}));
    return [=](const at::Tensor& y) { return at::cat({w.repeat({1, y.size(1), 1}), y}); };
  }));
  expect_like_the_loop(time_first("rms norm", [](Net& net) -> Forward {
    const at::Tensor w = net.own("w", at::randn({4}));
    return [=](const at::Tensor& y) { return at::rms_norm(y, {4}, w, 1e-5); };
  }));
  expect_like_the_loop(time_first("layer norm that needs a copy", [](Net& net) -> Forward {
    const at::Tensor w = net.own("w", at::randn({2}));
    return [=](const at::Tensor& y) { return at::layer_norm(y.view({6, -1, 2, 2}), {2}, w).flatten(2); };
  }));
  expect_like_the_loop(time_first("a matrix a position", [](Net& net) -> Forward {
    const at::Tensor w = net.own("w", at::randn({6, 4, 3}));
    return [=](const at::Tensor& y) { return at::bmm(y, w); };
  }));
  expect_like_the_loop({"frames of a video", eager([](Net& net) -> Forward {
                          auto n = net.add("n", GroupNorm(GroupNormOptions(2, 4)));
                          const at::Tensor w = net.own("w", at::rand({4}));
                          return [=](const at::Tensor& x) {
                            return at::prelu(n.ptr()->forward(x.flatten(0, 1)), w).unflatten(0, {x.size(0), -1});
                          };
                        }), features({6, 4, 5})});
}

TEST(SmallRules, LeaveWhatHasNoBatchToThePassBySample) {
  // Weight normalisation: its parameters meet before they meet a sample.
  const Case c = {"weight norm", eager([](Net& net) -> Forward {
                    auto a = net.add("a", Linear(4, 4));
                    const at::Tensor g = net.own("g", at::rand({5, 1})), v = net.own("v", at::randn({5, 4}));
                    return [=](const at::Tensor& x) { return at::linear(a.ptr()->forward(x), g * (v / v.norm(2, 1, true))); };
                  }), features({4})};
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  const Probe probe = {[&](int64_t batch, uint64_t seed) {
                         at::manual_seed(seed);
                         return c.input(batch);
                       },
                       [&](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }};
  EXPECT_EQ(uncaptured_parameters(tape, parameters, probe).size(), 2u) << "g and v";
}

TEST(SmallRules, RefuseWhatMixesOrKeepsTheBatchByTheParametersName) {
  const auto instance_norm = [](bool evaluate) {
    return eager([=](Net& net) -> Forward {
      auto a = net.add("a", Linear(4, 4));
      auto n = net.add("layer", InstanceNorm1d(InstanceNorm1dOptions(3).affine(true).track_running_stats(true)));
      if (evaluate) n->eval();
      return [=](const at::Tensor& x) { return n.ptr()->forward(a.ptr()->forward(x)); };
    });
  };
  for (const bool evaluate : {false, true}) {
    const std::string message = refusal(instance_norm(evaluate), at::randn({5, 3, 4}));
    EXPECT_NE(message.find("layer."), std::string::npos) << message;
    EXPECT_NE(message.find("track_running_stats"), std::string::npos) << message;
  }
  const Factory a_row_a_sample = eager([](Net& net) -> Forward {
    auto a = net.add("a", Linear(4, 4));
    const at::Tensor w = net.own("rows", at::randn({5, 1, 4}));
    return [=](const at::Tensor& x) { return a.ptr()->forward(x) * w; };
  });
  EXPECT_NE(refusal(a_row_a_sample, at::randn({5, 3, 4})).find("parameter rows"), std::string::npos);
  const Factory by_frequency = eager([](Net& net) -> Forward {
    auto e = net.add("table", EmbeddingBag(EmbeddingBagOptions(6, 4).scale_grad_by_freq(true)));
    return [=](const at::Tensor& x) { return e.ptr()->forward(x); };
  });
  EXPECT_NE(refusal(by_frequency, at::randint(6, {5, 3}, at::kLong)).find("table.weight"), std::string::npos);
}

}  // namespace
}  // namespace sotto

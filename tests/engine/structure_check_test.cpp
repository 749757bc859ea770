#include "engine/tape/structure_check.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <unistd.h>

#include "base/error.h"
#include "engine/model.h"
#include "engine/tape/layouts.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

ModelStructure check(const Factory& make, const InputSpec& input) {
  const Subject subject = make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  return check_structure(tape, parameters, {[&](int64_t batch, uint64_t seed) { return synthetic_input(input, batch, seed); },
                                                    [&](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }});
}

std::string refusal(const Factory& make, const InputSpec& input = {6, 0}) {
  try {
    check(make, input);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration) << error.what();
    return error.what();
  }
}

// linear, `between` over the whole batch, linear.
Factory mixed_by(Forward between) {
  return eager([=](Net& net) -> Forward {
    auto a = net.add("a", Linear(6, 4)), b = net.add("b", Linear(4, 2));
    return [=](const at::Tensor& x) { return b.ptr()->forward(between(a.ptr()->forward(x))); };
  });
}

TEST(StructureCheck, RefusesWhateverLetsOneSampleReachAnother) {
  const std::pair<const char*, Forward> mixers[] = {
      {"batch mean", [](const at::Tensor& y) { return y - y.mean(0, true); }},
      {"batch mean without its gradient", [](const at::Tensor& y) { return y - y.mean(0, true).detach(); }},
      {"batch maximum", [](const at::Tensor& y) { return y - std::get<0>(y.max(0, true)); }},
      {"softmax over the batch", [](const at::Tensor& y) { return at::softmax(y, 0); }},
      {"in-batch negatives", [](const at::Tensor& y) { return y + at::softmax(at::mm(y, y.t()), 1).sum(1, true); }},
      {"neighbour in the batch", [](const at::Tensor& y) { return y + at::roll(y, 1, 0); }},
      {"batch turned round", [](const at::Tensor& y) { return y.flip(0); }},
      {"batch sorted", [](const at::Tensor& y) { return std::get<0>(y.sort(0)); }},
      {"first sample for all", [](const at::Tensor& y) { return y + y.narrow(0, 0, 1); }},
      {"a number read from the batch", [](const at::Tensor& y) { return y * y.max().item<float>(); }},
      {"batch norm by hand", [](const at::Tensor& y) { return (y - y.mean(0)) / (y.var(0, true, false) + 1e-5).sqrt(); }}};
  for (const auto& [what, mixer] : mixers) {
    const std::string message = refusal(mixed_by(mixer));
    EXPECT_NE(message.find("changing one sample changes the gradient of another"), std::string::npos) << what << ": " << message;
    EXPECT_TRUE(message.find("parameter a") != std::string::npos || message.find("parameter b") != std::string::npos) << message;
  }
  EXPECT_EQ(refusal(mixed_by([](const at::Tensor& y) { return y.tanh(); })), "");
  EXPECT_EQ(refusal(mixed_by([](const at::Tensor& y) { return at::dropout(y, 0.5, true); })), "") << "same masks in each pass";
  EXPECT_EQ(refusal(mixed_by([](const at::Tensor& y) { return at::softmax(y, 1); })), "");
}

TEST(StructureCheck, NamesWhatIsUnusedAndWhatIsMerged) {
  const Factory unused = eager([](Net& net) -> Forward {
    auto a = net.add("a", Linear(6, 4));
    net.add("spare", Linear(2, 2));
    return [=](const at::Tensor& x) { return a.ptr()->forward(x); };
  });
  EXPECT_NE(refusal(unused).find("spare.weight is not used"), std::string::npos);
  const Factory batch_norm = eager([](Net& net) -> Forward {
    auto n = net.add("n", BatchNorm1d(6));
    return [=](const at::Tensor& x) { return n.ptr()->forward(x); };
  });
  EXPECT_NE(refusal(batch_norm).find("n.weight"), std::string::npos);
}

TEST(StructureCheck, FindsTheSamplesWhereverTheLayoutPutsThem) {
  using Wrap = std::function<at::Tensor(const at::Tensor& x, const Forward& layer)>;  // x is [B, T, d]
  const std::pair<Wrap, BatchLayout> layouts[] = {
      {[](const at::Tensor& x, const Forward& layer) { return layer(x); }, {}},
      {[](const at::Tensor& x, const Forward& layer) { return layer(x.transpose(0, 1)).transpose(0, 1); }, {.dimension = 1}},
      {[](const at::Tensor& x, const Forward& layer) { return layer(x.unsqueeze(0).unsqueeze(0)).squeeze(0).squeeze(0); }, {.dimension = 2}},
      {[](const at::Tensor& x, const Forward& layer) { return layer(x.flatten(0, 1)).unflatten(0, {x.size(0), -1}); }, {.merged = true}},
      {[](const at::Tensor& x, const Forward& layer) {
         return layer(x.transpose(0, 1).flatten(0, 1)).unflatten(0, {-1, x.size(0)}).transpose(0, 1);
       }, {.merged = true, .position_first = true}}};
  // Two and three positions, too, where a size alone could be either batch's.
  for (const int64_t length : {1, 2, 3, 6})
    for (const auto& [wrap, layout] : layouts) {
      SCOPED_TRACE(cat("length ", length, ", dimension ", layout.dimension, layout.merged ? ", merged" : ""));
      const int64_t d = 12 / length;
      const Case c = {"", eager([=](Net& net) -> Forward {
                        auto a = net.add("a", Linear(d, 4));
                        auto n = net.add("n", LayerNorm(LayerNormOptions({4})));
                        const at::Tensor shift = net.own("shift", at::randn({4}));
                        return [=](const at::Tensor& x) {
                          return wrap(x.view({-1, length, d}), [=](const at::Tensor& rows) {
                            return at::add(n.ptr()->forward(a.ptr()->forward(rows)).tanh(), shift);
                          });
                        };
                      }), features({12})};
      const Subject subject = c.make();
      const Parameters parameters(subject.named());
      Tape tape(Exec::cpu(1), parameters);
      const Probe probe = {[&](int64_t batch, uint64_t seed) { return synthetic_input({12, 0}, batch, seed); },
                           [&](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }};
      check_structure(tape, parameters, probe);
      const at::Tensor input = c.input(5), truth = one_at_a_time(c, subject, input);
      const Measured got = measure(tape, parameters, 5, [&] { return wavy_loss(subject.forward(input)); });
      for (int64_t i = 0; i < 5; ++i) {
        EXPECT_LE((got.gradients[i] - truth[i]).norm().item<double>(), 1e-5 * truth[i].norm().item<double>()) << i;
        EXPECT_GE(got.squared[i].item<double>(), truth[i].square().sum().item<double>() * (1 - 1e-5)) << i;
      }
      BatchLayout expected = layout;
      expected.positions = layout.merged ? length : 0;
      if (length == 6) { EXPECT_EQ(find_layouts(tape, parameters, probe)[0], expected); }  // shorter, another may say the same
    }
}

TEST(StructureCheck, FindsTheLayoutsOfAnUnmodifiedAttentionLayer) {
  // torch::nn::MultiheadAttention wants [T, B, E] and passes it to linear as it is.
  const Case c = {"", eager([](Net& net) -> Forward {
                    auto attention = net.add("attention", MultiheadAttention(MultiheadAttentionOptions(8, 2)));
                    auto head = net.add("head", Linear(8, 2));
                    return [=](const at::Tensor& x) {
                      const at::Tensor y = x.view({-1, 5, 8}).transpose(0, 1);
                      return head.ptr()->forward(std::get<0>(attention.ptr()->forward(y, y, y)).mean(0));
                    };
                  }), features({40})};
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  check_structure(tape, parameters, {[&](int64_t batch, uint64_t seed) { return synthetic_input({40, 0}, batch, seed); },
                                     [&](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }});
  const at::Tensor input = c.input(4), truth = one_at_a_time(c, subject, input);
  const Measured got = measure(tape, parameters, 4, [&] { return wavy_loss(subject.forward(input)); });
  for (int64_t i = 0; i < 4; ++i)
    EXPECT_LE((got.gradients[i] - truth[i]).norm().item<double>(), 1e-5 * truth[i].norm().item<double>()) << i;
}

TEST(StructureCheck, RowsThatAreDroppedByValueAreNeverTakenForOtherSamplesRows) {
  const Subject subject = eager([](Net& net) -> Forward {
    auto a = net.add("a", Linear(2, 4));
    return [=](const at::Tensor& x) {
      const at::Tensor rows = x.reshape({-1, 2}), kept = rows.select(1, 0).lt(100).nonzero().squeeze(1);
      const at::Tensor y = a.ptr()->forward(rows.index_select(0, kept)).tanh();
      return at::zeros({rows.size(0), 4}).index_copy(0, kept, y).view({x.size(0), -1});
    };
  })();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  at::Tensor input = at::randn({3, 6});
  input[0].narrow(0, 0, 2).fill_(1000);
  input[0].narrow(0, 2, 2).fill_(1000);
  input[1].narrow(0, 0, 2).fill_(1000);  // six rows of nine are left: a multiple of the samples
  try {
    tape.per_sample(3, [&] { return wavy_loss(subject.forward(input)); });
    ADD_FAILURE() << "rows of one sample would have been clipped as another's";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("makes a shape from values (nonzero)"), std::string::npos) << error.what();
  }
}

TEST(StructureCheck, AScaleOfALossOfOneNumberASampleIsUsed) {
  EXPECT_EQ(refusal(eager([](Net& net) -> Forward {
              auto a = net.add("a", Linear(6, 1));
              const at::Tensor scale = net.own("scale", at::ones({1}));
              return [=](const at::Tensor& x) { return (a.ptr()->forward(x).squeeze(1) * scale).unsqueeze(1); };
            })), "");
}

TEST(StructureCheck, RefusesALayerWhoseInputBelongsToNoSample) {
  const Factory shared_places = eager([](Net& net) -> Forward {
    auto e = net.add("places", Embedding(6, 6));
    return [=](const at::Tensor& x) { return x + e.ptr()->forward(at::arange(6, at::kLong)).mean(0); };
  });
  EXPECT_NE(refusal(shared_places).find("places.weight"), std::string::npos);
  const Factory by_value = eager([](Net& net) -> Forward {
    auto a = net.add("a", Linear(6, 4)), b = net.add("b", Linear(6, 4));
    return [=](const at::Tensor& x) {
      return x.sum().item<float>() > 0 ? a.ptr()->forward(x) + b.ptr()->forward(x) : b.ptr()->forward(x) - a.ptr()->forward(x);
    };
  });
  EXPECT_NE(refusal(by_value), "");
}

TEST(StructureCheck, CountsElementsRowsAndTies) {
  for (const auto& cases : {linear_cases(), embedding_cases(), norm_cases(), script_cases(), convolution_cases(), recurrent_cases(), elementwise_cases(), matmul_cases(), group_norm_cases(), embedding_bag_cases(), model_cases()})
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      const Subject subject = c.make();
      const Parameters parameters(subject.named());
      const Probe probe = {[&](int64_t batch, uint64_t seed) {
                             at::manual_seed(seed);
                             return c.input(batch);
                           },
                           [&](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }};
      Tape tape(Exec::cpu(1), parameters);
      const ModelStructure structure = check_structure(tape, parameters, probe);
      EXPECT_EQ(structure.parameter_elements, parameters.elements());
      EXPECT_EQ(structure.tied, c.name.find("tied") != std::string::npos);
    }
  const auto rows = [](const std::vector<Case>& cases, const std::string& name, const InputSpec& input) {
    for (const Case& c : cases)
      if (c.name == name) return check(c.make, input).rows_per_unit;
    return int64_t{-1};
  };
  EXPECT_EQ(rows(linear_cases(), "mlp", {7, 0}), 1);
  EXPECT_EQ(rows(embedding_cases(), "repeated ids", {11, 6}), 11);
  EXPECT_EQ(rows(embedding_cases(), "tied head over a sequence", {7, 6}), 14) << "both uses of the table";
}

TEST(StructureCheck, RefusesScriptsThatDecideByValues) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / cat("sotto_script_", ::getpid(), ".pt");
  const auto load = [&](const std::string& body) -> std::string {
    torch::jit::Module script("Net");
    script.register_parameter("w", at::randn({2, 3}).set_requires_grad(true), false);
    script.define("def forward(self, x):\n" + body);
    script.save(path.string());
    try {
      ModelSpec spec;
      spec.kind = "torchscript";
      spec.script = path;
      Model::make(spec, {3, 0}, RunKey::from_seed(1));
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::configuration);
      return error.what();
    }
  };
  const std::string linear = "  return torch.linear(x, self.w)\n";
  for (const std::string body :
       {"  if bool(x.sum() > 0):\n    x = -x\n", "  n = int(x[0, 0].item())\n  x = x * n\n", "  while bool(x.max() > 2):\n    x = x / 2\n",
        "  x = x[int(x.argmax())]\n"})
    EXPECT_NE(load(body + linear).find("reads the values"), std::string::npos) << body;
  for (const std::string body : {"", "  if x.size(0) > 2:\n    x = x * 1\n", "  for i in range(x.size(1)):\n    x = x * 1\n",
                                 "  x = torch.where(x > 0, x, -x)\n"})
    EXPECT_EQ(load(body + linear), "") << body;
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sotto

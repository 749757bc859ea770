#include "engine/tape/structure_check.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <unistd.h>

#include "base/error.h"
#include "engine/model.h"
#include "tests/engine/subject.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

ModelStructure check(const Factory& make, const InputSpec& input) {
  const Subject subject = make();
  const Parameters parameters(subject.named());
  return check_structure(Exec::cpu(1), parameters, {[&](int64_t batch, uint64_t seed) { return synthetic_input(input, batch, seed); },
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
  // With T = 2 or 3 rows a sample, a layout with time first has the right length at one batch size only.
  for (const int64_t length : {2, 3}) {
    const Factory time_first = eager([=](Net& net) -> Forward {
      auto a = net.add("a", Linear(6 / length, 4));
      return [=](const at::Tensor& x) { return a.ptr()->forward(x.view({-1, length, 6 / length}).transpose(0, 1)).transpose(0, 1); };
    });
    EXPECT_NE(refusal(time_first).find("parameter a"), std::string::npos) << length;
  }
  const Factory batch_norm = eager([](Net& net) -> Forward {
    auto n = net.add("n", BatchNorm1d(6));
    return [=](const at::Tensor& x) { return n.ptr()->forward(x); };
  });
  EXPECT_NE(refusal(batch_norm).find("n.weight"), std::string::npos);
}

TEST(StructureCheck, CountsElementsRowsAndTies) {
  for (const auto& cases : {linear_cases(), embedding_cases(), norm_cases(), script_cases()})
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      const Subject subject = c.make();
      const Parameters parameters(subject.named());
      const Probe probe = {[&](int64_t batch, uint64_t seed) {
                             at::manual_seed(seed);
                             return c.input(batch);
                           },
                           [&](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }};
      const ModelStructure structure = check_structure(Exec::cpu(1), parameters, probe);
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
        "  x = x[x.sum(1).nonzero().view(-1)]\n"})
    EXPECT_NE(load(body + linear).find("reads the values"), std::string::npos) << body;
  for (const std::string body : {"", "  if x.size(0) > 2:\n    x = x * 1\n", "  for i in range(x.size(1)):\n    x = x * 1\n",
                                 "  x = torch.where(x > 0, x, -x)\n"})
    EXPECT_EQ(load(body + linear), "") << body;
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sotto

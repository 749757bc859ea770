#include "engine/norms.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <unistd.h>

#include <cmath>

#include "base/error.h"
#include "engine/safetensors.h"
#include "tests/engine/subject.h"

namespace sotto {
namespace {

// The loss of one sample alone, by its definition.
at::Tensor oracle_loss(NormLoss loss, const at::Tensor& output, const at::Tensor& y) {
  if (loss == NormLoss::mse) return (output - y.to(at::kDouble).view(output.sizes())).square().mean();
  const at::Tensor rows = output.dim() == y.dim() + 1 && output.size(-1) < 9 ? output.reshape({-1, output.size(-1)}) : output;
  return at::log_softmax(rows, 1).gather(1, y.reshape({-1, 1})).neg().mean();
}

class Norms : public ::testing::Test {
 protected:
  Norms() {
    at::manual_seed(5);
    std::filesystem::create_directories(folder_);
  }
  ~Norms() override { std::filesystem::remove_all(folder_); }

  SampleNorms norms(torch::jit::Module& script, const at::Tensor& x, const at::Tensor& y, const NormsOptions& options) const {
    script.save((folder_ / "model.pt").string());
    write_safetensors(folder_ / "inputs.safetensors", {{{"x", x}, {"y", y}}, {}});
    return sample_norms(folder_ / "model.pt", folder_ / "inputs.safetensors", options);
  }

  std::string refusal(torch::jit::Module& script, const at::Tensor& x, const at::Tensor& y, const NormsOptions& options = {}) const {
    try {
      norms(script, x, y, options);
      return "";
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::configuration || error.kind() == ErrorKind::data) << error.what();
      return error.what();
    }
  }

  // One sample at a time in double, by plain autograd.
  static std::vector<double> truth(const torch::jit::Module& script, const at::Tensor& x, const at::Tensor& y, NormLoss loss) {
    torch::jit::Module twin = script.deepcopy();
    twin.to(at::kDouble);
    std::vector<at::Tensor> trained;
    for (const at::Tensor& parameter : twin.parameters())
      if (parameter.requires_grad()) trained.push_back(parameter);
    std::vector<double> found;
    for (int64_t i = 0; i < x.size(0); ++i) {
      at::Tensor sample = x.narrow(0, i, 1);
      if (sample.is_floating_point()) sample = sample.to(at::kDouble);
      const at::Tensor value = oracle_loss(loss, twin.forward({sample}).toTensor(), y.narrow(0, i, 1));
      double squared = 0;
      for (const at::Tensor& gradient : torch::autograd::grad({value}, trained)) squared += gradient.square().sum().item<double>();
      found.push_back(std::sqrt(squared));
    }
    return found;
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / cat("sotto_norms_", ::getpid());
};

torch::jit::Module script(const std::vector<ScriptParameter>& parameters, const std::string& body) {
  torch::jit::Module module("Net");
  for (const ScriptParameter& parameter : parameters)
    module.register_parameter(parameter.name, at::randn(parameter.shape).mul_(0.5).set_requires_grad(parameter.trainable), false);
  module.define("def forward(self, x):\n" + body);
  return module;
}

struct Example {
  const char* name;
  std::vector<ScriptParameter> parameters;
  std::string body;
  at::Tensor x, y;
  NormLoss loss;
};

// Float32 passes against double, and what bounds on their own rounding may add.
constexpr double kBelow = 2e-5, kAbove = 1e-3 + 2e-5;

TEST_F(Norms, AreThoseOfOneSampleAtATimeInDouble) {
  const at::Tensor ids = at::randint(6, {5, 4}, at::kLong);
  const Example examples[] = {
      {"classes", {{"w", {3, 4}}, {"b", {3}}}, "  return torch.linear(x.tanh(), self.w, self.b)\n", at::randn({5, 4}), at::randint(3, {5}, at::kLong), NormLoss::cross_entropy},
      {"a class a position", {{"w", {3, 4}}}, "  return torch.linear(x, self.w)\n", at::randn({5, 7, 4}), at::randint(3, {5, 7}, at::kLong), NormLoss::cross_entropy},
      {"one output", {{"w", {1, 4}}}, "  return torch.linear(x, self.w)\n", at::randn({5, 4}), at::randn({5}), NormLoss::mse},
      {"values a position", {{"w", {2, 4}}}, "  return torch.linear(x, self.w)\n", at::randn({5, 3, 4}), at::randn({5, 3, 2}), NormLoss::mse},
      {"ids", {{"e", {6, 3}}}, "  return torch.embedding(self.e, x).sum(1)\n", ids, at::randint(3, {5}, at::kLong), NormLoss::cross_entropy},
      {"a parameter without a rule", {{"w", {3, 4}}, {"s", {1}}}, "  return torch.linear(x, self.w) * self.s.exp()\n", at::randn({5, 4}), at::randint(3, {5}, at::kLong), NormLoss::cross_entropy},
      {"a frozen parameter", {{"w", {3, 4}, false}, {"b", {3}}}, "  return torch.linear(x, self.w, self.b)\n", at::randn({5, 4}), at::randn({5, 3}), NormLoss::mse},
  };
  for (const Example& example : examples) {
    SCOPED_TRACE(example.name);
    torch::jit::Module module = script(example.parameters, example.body);
    const std::vector<double> expected = truth(module, example.x, example.y, example.loss);
    for (const int64_t microbatch : {0, 1, 3}) {
      const SampleNorms got = norms(module, example.x, example.y, {example.loss, microbatch, 1});
      ASSERT_EQ(got.norms.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_GE(got.norms[i], expected[i] * (1 - kBelow)) << i;
        EXPECT_LE(got.norms[i], expected[i] * (1 + kAbove)) << i;
      }
    }
  }
}

// Eight bits an operand: a unit of 2^-9 for input, weight and output gradient each.
TEST_F(Norms, OfBfloat16ProductsAreThoseOfRoundedRows) {
  torch::jit::Module module = script({{"w", {16, 32}}, {"v", {3, 16}}},
                                     "  return torch.linear(torch.tanh(torch.linear(x, self.w)), self.v)\n");
  const at::Tensor x = at::randn({6, 5, 32}), y = at::randint(3, {6, 5}, at::kLong);
  NormsOptions options = {.product_type = at::kBFloat16};
  const SampleNorms narrow = norms(module, x, y, options);
  const std::vector<double> expected = truth(module, x, y, options.loss);
  double furthest = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    furthest = std::max(furthest, std::abs(narrow.norms[i] / expected[i] - 1));
  EXPECT_LT(furthest, 0.03);
  EXPECT_GT(furthest, kAbove) << "nothing was rounded";
}

TEST_F(Norms, ClassesInDimensionOneWhereOnlyThatFits) {
  const at::Tensor output = at::randn({2, 3, 5}), by_place = at::randint(3, {2, 5}, at::kLong);
  const at::Tensor losses = sample_losses(NormLoss::cross_entropy, output, by_place);
  for (int64_t i = 0; i < 2; ++i) {
    const at::Tensor own = oracle_loss(NormLoss::cross_entropy, output[i].t().to(at::kDouble), by_place[i]);
    EXPECT_NEAR(losses[i].item<double>(), own.item<double>(), 1e-6);
  }
  // [2, 3, 3] with labels [2, 3] fits both ways: the last dimension has the classes.
  const at::Tensor square = at::randn({2, 3, 3}), labels = at::randint(3, {2, 3}, at::kLong);
  const at::Tensor first = oracle_loss(NormLoss::cross_entropy, square[0].to(at::kDouble), labels[0]);
  EXPECT_NEAR(sample_losses(NormLoss::cross_entropy, square, labels)[0].item<double>(), first.item<double>(), 1e-6);
}

TEST_F(Norms, NothingOfXDecidesWhatIsChecked) {
  // An id that no table has, a NaN and an infinity come after the checks: the first is an error about x, the others show
  // in their own sample.
  torch::jit::Module linear = script({{"w", {3, 4}}}, "  return torch.linear(x, self.w)\n");
  at::Tensor x = at::randn({4, 4});
  x[1][0] = NAN;
  x[2][3] = INFINITY;
  const std::vector<double> got = norms(linear, x, at::zeros({4}, at::kLong), {}).norms;
  EXPECT_TRUE(std::isfinite(got[0]) && std::isfinite(got[3]));
  EXPECT_FALSE(std::isfinite(got[1]) || std::isfinite(got[2]));
}

TEST_F(Norms, RefusesByNameWhatMixesSamplesOrHidesAUse) {
  const at::Tensor x = at::randn({4, 4}), y = at::zeros({4}, at::kLong), ids = at::randint(6, {4, 3}, at::kLong);
  torch::jit::Module mixed = script({{"w", {3, 4}}}, "  return torch.linear(x - x.mean(0, True), self.w)\n");
  EXPECT_NE(refusal(mixed, x, y).find("parameter w: changing one sample"), std::string::npos);
  torch::jit::Module mixed_bare = script({{"w", {3, 4}}, {"s", {1}}}, "  return torch.linear(x - x.mean(0, True), self.w) * self.s.exp()\n");
  EXPECT_NE(refusal(mixed_bare, x, y).find("changing one sample changes the loss of another"), std::string::npos);
  torch::jit::Module divided = script({{"w", {3, 4}}, {"s", {1}}}, "  return torch.linear(x, self.w) * self.s.exp() / x.size(0)\n");
  EXPECT_NE(refusal(divided, x, y).find("divide by the size of the batch"), std::string::npos);
  torch::jit::Module hidden = script({{"e", {6, 3}}}, "  return torch.matmul(torch.embedding(self.e, x).tanh().sum(1), self.e.sin().t())\n");
  EXPECT_NE(refusal(hidden, ids, y).find("parameter e: besides its embedding there is a use that is hidden"), std::string::npos) << refusal(hidden, ids, y);
  torch::jit::Module unused = script({{"w", {3, 4}}, {"s", {1}}, {"spare", {2}}}, "  return torch.linear(x, self.w) * self.s.exp()\n");
  EXPECT_NE(refusal(unused, x, y).find("spare is not used"), std::string::npos);
}

TEST_F(Norms, NamesWhatIsWrongWithTheTensors) {
  torch::jit::Module linear = script({{"w", {3, 4}}}, "  return torch.linear(x, self.w)\n");
  const at::Tensor x = at::randn({4, 4});
  const auto says = [&](const at::Tensor& y, NormLoss loss, const char* words) {
    EXPECT_NE(refusal(linear, x, y, {loss, 0, 1}).find(words), std::string::npos) << refusal(linear, x, y, {loss, 0, 1});
  };
  says(at::full({4}, 3, at::kLong), NormLoss::cross_entropy, "labels outside 0 … 2");
  says(at::full({4}, -1, at::kLong), NormLoss::cross_entropy, "labels outside 0 … 2");
  says(at::zeros({4, 2}, at::kLong), NormLoss::cross_entropy, "integer labels");
  says(at::zeros({4}), NormLoss::cross_entropy, "integer labels");
  says(at::zeros({4}), NormLoss::mse, "mse needs y");
  says(at::zeros({3, 3}), NormLoss::mse, "x has 4 samples and y has 3");
}

}  // namespace
}  // namespace sotto

#include "engine/model.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/atomic_file.h"
#include "base/error.h"
#include "engine/loss.h"
#include "engine/model_artifact.h"
#include "engine/models/transformer.h"
#include "engine/predict.h"
#include "engine/tape/tape.h"

namespace sotto {
namespace {

ModelSpec mlp(const std::vector<int64_t>& hidden = {}, int64_t outputs = 1) {
  ModelSpec spec;
  spec.hidden = hidden;
  spec.outputs = outputs;
  return spec;
}

ModelSpec of_kind(const std::string& kind, const std::filesystem::path& script = {}) {
  ModelSpec spec;
  spec.kind = kind;
  spec.script = script;
  return spec;
}

class ModelFiles : public ::testing::Test {
 protected:
  ModelFiles() { std::filesystem::create_directories(folder_); }
  ~ModelFiles() override { std::filesystem::remove_all(folder_); }

  // A scripted two-class classifier over the schema's features.
  ModelSpec script(int64_t columns) const {
    torch::jit::Module module("Net");
    module.register_parameter("w", at::randn({2, columns}).set_requires_grad(true), false);
    module.register_parameter("b", at::randn({2}).set_requires_grad(true), false);
    module.define("def forward(self, x):\n  return torch.linear(torch.tanh(x), self.w, self.b)\n");
    module.save((folder_ / "source.pt").string());
    return of_kind("torchscript", folder_ / "source.pt");
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / cat("sotto_model_", ::getpid());
  data::Schema schema_ = data::Schema::read(SOTTO_SOURCE "/datasets/diabetes130/schema.toml");
  int64_t columns_ = static_cast<int64_t>(data::feature_names(schema_, data::Encoding::numbers).size());
};

void randomise(const Model& model) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.named_parameters()) tensor.copy_(at::randn_like(tensor));
}

TEST_F(ModelFiles, ArtefactRoundTripGivesTheSameModel) {
  at::manual_seed(4);
  for (const ModelSpec& spec : {mlp(), mlp({8, 5}, 2), script(columns_)}) {
    SCOPED_TRACE(spec.kind);
    const InputSpec input = {columns_, 0};
    const Model model = Model::make(spec, input, RunKey::from_seed(1));
    randomise(model);
    write_model(folder_, {spec, input, schema_, data::Encoding::numbers}, model);
    const at::Tensor x = synthetic_input(input, 50, 3);
    for (const std::string name : {"", "model.toml", "model.safetensors"}) {
      const LoadedModel loaded = read_model(name.empty() ? folder_ : folder_ / name);
      const at::NoGradGuard no_grad;
      EXPECT_TRUE(loaded.model.forward(x).equal(model.forward(x))) << name;
      EXPECT_EQ(loaded.artifact.schema.hash, schema_.hash);
      EXPECT_EQ(loaded.artifact.input.columns, columns_);
      for (size_t i = 0; i < model.named_parameters().size(); ++i)
        EXPECT_TRUE(loaded.model.named_parameters()[i].second.equal(model.named_parameters()[i].second));
    }
  }
}

TEST_F(ModelFiles, ExportedTorchScriptComputesTheSame) {
  at::manual_seed(5);
  for (const ModelSpec& spec : {mlp(), mlp({8, 5}, 2), script(6)}) {
    const Model model = Model::make(spec, {6, 0}, RunKey::from_seed(1));
    randomise(model);
    model.export_torchscript(folder_ / "exported.pt");
    torch::jit::Module exported = torch::jit::load((folder_ / "exported.pt").string());
    const at::Tensor x = synthetic_input({6, 0}, 20, 3);
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(exported.forward({x}).toTensor().equal(model.forward(x))) << spec.kind;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "exported.pt.part"));
  }
}

TEST_F(ModelFiles, AScriptStaysVisibleToTheTapeHoweverOftenItHasRun) {
  const Model model = Model::make(script(6), {6, 0}, RunKey::from_seed(1));
  const at::Tensor x = synthetic_input({6, 0}, 20, 3), labels = at::zeros({20}, at::kLong);
  for (int i = 0; i < 5; ++i) {
    model.forward(x).sum().backward();
    predict(model, x);
  }
  const Parameters parameters(model.named_parameters());
  Tape tape(Exec::cpu(1), parameters);
  tape.per_sample(20, [&] { return per_sample_loss(model.forward(x), labels); });
  EXPECT_EQ(tape.uses().size(), 2u) << "weight and bias";
}

TEST_F(ModelFiles, DamagedArtefactsAreRefused) {
  const ModelSpec spec = mlp({3});
  write_model(folder_, {spec, {columns_, 0}, schema_, data::Encoding::numbers}, Model::make(spec, {columns_, 0}, RunKey::from_seed(1)));
  const std::string toml = read_file(folder_ / "model.toml"), values = read_file(folder_ / "model.safetensors");
  const auto refused = [&](const std::string& what) {
    try {
      read_model(folder_);
      ADD_FAILURE() << what << " was accepted";
    } catch (const Error& error) {
      EXPECT_FALSE(std::string(error.what()).empty());
    } catch (const std::exception& error) {
      ADD_FAILURE() << what << " ended in another exception: " << error.what();
    }
  };
  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string text = toml;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    write_file(folder_ / "model.toml", text);
    refused(cat(from, " -> ", to));
    write_file(folder_ / "model.toml", toml);
  };
  edited("sotto.model.1", "sotto.model.9");
  edited("kind = \"mlp\"", "kind = \"forest\"");
  edited("hidden = [3]", "hidden = [4]");
  edited("outputs = 1", "outputs = 2");
  edited(cat("columns = ", columns_), cat("columns = ", columns_ + 1));
  edited(schema_.hash, std::string(schema_.hash.size(), '0'));
  edited("[input]", "[inp]");
  write_file(folder_ / "model.safetensors", values.substr(0, values.size() - 1));
  refused("truncated values");
  write_file(folder_ / "model.safetensors", values);
  EXPECT_NO_THROW(read_model(folder_));
  std::filesystem::remove(folder_ / "model.toml");
  refused("no model.toml");
}

TEST(Model, InitialisationIsAFunctionOfTheKey) {
  const ModelSpec spec = mlp({16});
  const auto make = [&](uint64_t seed) { return Model::make(spec, {9, 0}, RunKey::from_seed(seed)).named_parameters(); };
  const auto a = make(1), b = make(1), c = make(2);
  ASSERT_EQ(a.size(), 4u);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i].second.equal(b[i].second));
  for (size_t i = 0; i < 2; ++i) EXPECT_FALSE(a[i].second.equal(c[i].second));  // the last layer starts at a constant
}

TEST(Model, RefusesWhatItCannotMakeOrWrite) {
  const RunKey key = RunKey::from_seed(1);
  EXPECT_THROW(Model::make(of_kind("forest"), {9, 0}, key), Error);
  EXPECT_THROW(Model::make(mlp(), {9, 100}, key), Error) << "an mlp cannot read tokens";
  EXPECT_THROW(Model::make(of_kind("torchscript", "/nonexistent.pt"), {9, 0}, key), Error);
  Model model = Model::make(mlp(), {9, 0}, key);
  EXPECT_THROW(model.load_parameters({}), Error);
  auto transformer = std::make_shared<Transformer>(TransformerSizes{10, 4, 8, 2, 8, 1, 2});
  const Model wrapped = Model::wrap(transformer, [=](const at::Tensor& x) { return transformer->forward(x); });
  const auto path = std::filesystem::temp_directory_path() / cat("sotto_wrapped_", ::getpid(), ".pt");
  EXPECT_THROW(wrapped.export_torchscript(path), Error) << "a wrapped module has no script: another function would be written";
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Loss, IsOneNumberASampleWhateverTheOthersAre) {
  const at::Tensor labels = at::tensor({1, 0, 1}, at::kLong), logits = at::tensor({0.3, -2.0, 40.0}, at::kFloat);
  const at::Tensor truth = at::tensor({std::log1p(std::exp(-0.3)), std::log1p(std::exp(-2.0)), std::log1p(std::exp(-40.0))}, at::kDouble);
  EXPECT_LE((per_sample_loss(logits, labels) - truth).abs().max().item<double>(), 1e-6);
  EXPECT_TRUE(per_sample_loss(logits.view({3, 1}), labels).equal(per_sample_loss(logits, labels)));
  const at::Tensor two = at::stack({at::zeros({3}), logits}, 1);
  EXPECT_LE((per_sample_loss(two, labels) - truth).abs().max().item<double>(), 1e-6);
  EXPECT_LE((positive_probability(two) - positive_probability(logits)).abs().max().item<double>(), 1e-6);
  at::Tensor poisoned = logits.clone();
  poisoned[1] = NAN;
  const at::Tensor losses = per_sample_loss(poisoned, labels);
  EXPECT_TRUE(losses[0].equal(per_sample_loss(logits, labels)[0]) && losses[2].equal(per_sample_loss(logits, labels)[2]));
  EXPECT_THROW(per_sample_loss(at::zeros({3, 2, 2}), labels), Error);
  EXPECT_THROW(positive_probability(at::zeros({3, 4})), Error);
}

TEST(Predict, IsTheModelInEvaluationModeBlockByBlock) {
  const Model model = Model::make(mlp({4}), {3, 0}, RunKey::from_seed(1));
  const at::Tensor x = synthetic_input({3, 0}, 9000, 1);  // more than two blocks
  const auto probabilities = predict(model, x);
  ASSERT_EQ(probabilities.size(), 9000u);
  const at::NoGradGuard no_grad;
  const at::Tensor whole = at::sigmoid(model.forward(x).view({-1}).to(at::kDouble));
  for (const int64_t i : {0, 4095, 4096, 8999}) EXPECT_NEAR(probabilities[static_cast<size_t>(i)], whole[i].item<double>(), 1e-6);
  EXPECT_TRUE(predict(model, x.slice(0, 0, 0)).empty());
}

}  // namespace
}  // namespace sotto

#include "engine/step_bench/bench_task.h"

#include <algorithm>

#include "base/error.h"
#include "engine/loss.h"
#include "engine/models/bert.h"
#include "engine/models/cifar_cnn.h"
#include "engine/models/gpt2.h"
#include "engine/models/llama.h"
#include "engine/models/lstm.h"
#include "engine/models/mlp.h"
#include "engine/models/mnist_cnn.h"
#include "engine/models/resnet.h"
#include "engine/models/transformer.h"
#include "engine/models/vit.h"

namespace sotto {
namespace {

template <class Module>
BenchTask classifier(const at::Device& device, std::shared_ptr<Module> module, const at::Tensor& inputs,
                     int64_t classes, int64_t vocabulary = 0) {
  module->to(device);
  const at::Tensor labels = at::randint(classes, {inputs.size(0)}, at::kLong).to(device);
  return {Model::wrap(module, [module](const at::Tensor& x) { return module->forward(x); }), inputs.to(device), labels,
          vocabulary, [](const at::Tensor& output, const at::Tensor& of) { return per_sample_loss(output, of); }};
}

// The next token at every position; a sample's loss is the mean over its positions.
template <class Module>
BenchTask language_model(const at::Device& device, std::shared_ptr<Module> module, const at::Tensor& tokens,
                         int64_t vocabulary) {
  module->to(device);
  const at::Tensor next = at::randint(vocabulary, tokens.sizes(), at::kLong).to(device);
  return {Model::wrap(module, [module](const at::Tensor& x) { return module->forward(x); }), tokens.to(device), next,
          vocabulary, [](const at::Tensor& output, const at::Tensor& labels) {
            const at::Tensor losses =
                at::cross_entropy_loss(output.flatten(0, 1).to(at::kFloat), labels.flatten(), {}, at::Reduction::None);
            return losses.view(labels.sizes()).mean(1);
          }};
}

at::Tensor tokens(int64_t vocabulary, int64_t batch, int64_t length) {
  return at::randint(vocabulary, {batch, length}, at::kLong);
}

}  // namespace

const std::vector<BenchModel>& bench_models() {
  static const std::vector<BenchModel> models = {
      {"mlp", "120-256-128-2, batch 1024"},
      {"mnist_cnn", "two convolutions on 1x28x28 images, batch 256"},
      {"cifar_cnn", "six convolutions with group normalisation on 3x32x32 images, batch 128"},
      {"lstm", "128 units over 64 rows of 64 features, batch 64"},
      {"transformer", "2 blocks of width 128 on 128 tokens, batch 32"},
      {"gpt2", "GPT-2, 124 million parameters, its table tied to its output, 100 tokens, batch 2"},
      {"gpt2_1024", "the same on 1024 tokens, batch 1"},
      {"bert", "BERT-base, 109 million parameters, 128 tokens, batch 2"},
      {"vit", "ViT-L/16, 304 million parameters, 197 positions, batch 2"},
      {"resnet50", "ResNet-50 with group normalisation on 3x224x224 images, batch 4"},
      {"llama", "Llama 3.2 1B, 1.24 billion parameters, 512 tokens, batch 2"},
      {"llama_lora", "the same, of which LoRA factors of rank 16 of every layer are trained"}};
  return models;
}

BenchTask make_bench_task(const std::string& name, int64_t batch, const at::Device& device) {
  at::manual_seed(1);
  const auto own = [batch](int64_t usual) { return batch > 0 ? batch : usual; };
  if (name == "mlp")
    return classifier(device, std::make_shared<Mlp>(120, std::vector<int64_t>{256, 128}, 2),
                      at::randn({own(1024), 120}), 2);
  if (name == "mnist_cnn")
    return classifier(device, std::make_shared<MnistCnn>(), at::randn({own(256), 1, 28, 28}), 10);
  if (name == "cifar_cnn")
    return classifier(device, std::make_shared<CifarCnn>(), at::randn({own(128), 3, 32, 32}), 10);
  if (name == "lstm") return classifier(device, std::make_shared<Lstm>(64, 128, 2), at::randn({own(64), 64, 64}), 2);
  if (name == "transformer") {
    const TransformerSizes s;
    return classifier(device, std::make_shared<Transformer>(s), tokens(s.vocabulary, own(32), s.length), 2,
                      s.vocabulary);
  }
  if (name == "gpt2" || name == "gpt2_1024") {
    const Gpt2Sizes s;
    const at::Tensor text = name == "gpt2" ? tokens(s.vocabulary, own(2), 100) : tokens(s.vocabulary, own(1), s.length);
    return language_model(device, std::make_shared<Gpt2>(s), text, s.vocabulary);
  }
  if (name == "bert") {
    const BertSizes s;
    return classifier(device, std::make_shared<Bert>(s), tokens(s.vocabulary, own(2), 128), s.outputs, s.vocabulary);
  }
  if (name == "vit") {
    const VitSizes s;
    return classifier(device, std::make_shared<Vit>(s), at::randn({own(2), 3, s.image, s.image}), s.outputs);
  }
  if (name == "resnet50") {
    const ResnetSizes s;
    return classifier(device, std::make_shared<Resnet>(s), at::randn({own(4), 3, 224, 224}), s.outputs);
  }
  if (name == "llama" || name == "llama_lora") {
    LlamaSizes s;
    if (name == "llama_lora") s.block.lora_rank = 16;
    return language_model(device, std::make_shared<Llama>(s), tokens(s.vocabulary, own(2), 512), s.vocabulary);
  }
  std::string known;
  for (const BenchModel& model : bench_models()) known += cat(known.empty() ? "" : ", ", model.name);
  throw Error(ErrorKind::configuration, cat("there is no model ", name, "; there are ", known));
}

}  // namespace sotto

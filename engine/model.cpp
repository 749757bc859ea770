#include "engine/model.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "base/error.h"
#include "engine/models/mlp.h"
#include "engine/models/torchscript.h"

namespace sotto {
namespace {

// The interpreter puts the whole way to the failing line before what went wrong.
std::string last_words(const std::string& message) {
  const std::string mark = "\nRuntimeError: ";
  const size_t at = message.rfind(mark);
  const std::string words = at == std::string::npos ? message : message.substr(at + mark.size());
  return words.substr(0, words.find_last_not_of(" \n") + 1);
}

at::Tensor call(torch::jit::Module& script, const at::Tensor& x) {
  // An optimised plan, once made, is used for every later call, and its fused operators pass by the tape.
  const torch::jit::GraphOptimizerEnabledGuard plain_interpreter(false);
  c10::IValue output;
  try {
    output = script.forward({x});
  } catch (const std::exception& error) {
    throw Error(ErrorKind::configuration,
                cat("the TorchScript model fails on a ", x.scalar_type(), " input of shape ", x.sizes(), ": ",
                    last_words(error.what()),
                    "; it must take [batch, columns], float32 with data.encoding = \"numbers\" "
                    "and int64 with \"tokens\""));
  }
  if (!output.isTensor()) throw Error(ErrorKind::configuration, "the TorchScript model must return one tensor");
  return output.toTensor();
}

}  // namespace

Model Model::make(const ModelSpec& spec, const InputSpec& input, const RunKey& key) {
  uint64_t seed;
  fill_words(key.stream(Purpose::initialisation, 0), &seed, 1);
  at::manual_seed(seed);
  if (spec.kind == "mlp") {
    if (input.tokens())
      throw Error(ErrorKind::configuration, "model.kind = \"mlp\" reads features; set data.encoding = \"numbers\"");
    auto module = std::make_shared<Mlp>(input.columns, spec.hidden, spec.outputs);
    module->start_at(spec.output_bias);
    Model model = wrap(module, [module](const at::Tensor& x) { return module->forward(x); });
    model.mlp_ = true;
    return model;
  }
  if (spec.kind != "torchscript")
    throw Error(ErrorKind::configuration, cat("model.kind must be mlp or torchscript, got ", spec.kind));
  auto script = std::make_shared<torch::jit::Module>(load_torchscript(spec.script));
  Model model;
  model.script_ = script;
  model.forward_ = [script](const at::Tensor& x) { return call(*script, x); };
  model.train_ = [script](bool on) { script->train(on); };
  model.move_ = [script](const at::Device& device) { script->to(device); };
  for (const auto& parameter : script->named_parameters())
    model.parameters_.emplace_back(parameter.name, parameter.value);
  return model;
}

Model Model::wrap(std::shared_ptr<torch::nn::Module> module, std::function<at::Tensor(const at::Tensor&)> forward) {
  Model model;
  model.forward_ = std::move(forward);
  model.train_ = [module](bool on) { module->train(on); };
  model.move_ = [module](const at::Device& device) { module->to(device); };
  for (const auto& parameter : module->named_parameters())
    model.parameters_.emplace_back(parameter.key(), parameter.value());
  return model;
}

void Model::load_parameters(const std::map<std::string, at::Tensor>& values) {
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : parameters_) {
    const auto hit = values.find(name);
    if (hit == values.end() || hit->second.sizes() != tensor.sizes())
      throw Error(ErrorKind::data, cat("the saved model has no parameter ", name, " of shape ", tensor.sizes(),
                                       "; it was made for another architecture"));
    tensor.copy_(hit->second);
  }
}

void Model::export_torchscript(const std::filesystem::path& path) const {
  if (!script_ && !mlp_)
    throw Error(ErrorKind::configuration,
                "only an mlp or a TorchScript model can be exported to TorchScript; this one is a "
                "wrapped C++ module, whose code is not known");
  const std::filesystem::path beside = path.string() + ".part";
  train(false);
  const at::Device home = device();
  to(at::kCPU);
  try {
    (script_ ? *script_ : mlp_script(parameters_)).save(beside.string());
    to(home);
  } catch (const c10::Error&) {
    to(home);
    throw Error(ErrorKind::io, cat("cannot write ", path.string(), "; check that its folder exists and is writable"));
  }
  std::filesystem::rename(beside, path);
}

at::Tensor synthetic_input(const InputSpec& input, int64_t batch, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  if (input.tokens()) return at::randint(input.vocabulary, {batch, input.columns}, generator, at::kLong);
  return at::rand({batch, input.columns}, generator).mul_(2).sub_(1);
}

}  // namespace sotto

#include "tests/engine/subject.h"

namespace sotto {

Factory eager(std::function<std::function<at::Tensor(const at::Tensor&)>(Net&)> build) {
  return [build] {
    auto net = std::make_shared<Net>();
    net->body = build(*net);
    return Subject{[net] {
                     std::vector<std::pair<std::string, at::Tensor>> named;
                     for (const auto& item : net->named_parameters()) named.emplace_back(item.key(), item.value());
                     return named;
                   },
                   [net](const at::Tensor& x) { return net->body(x); }, [net] { net->to(at::kDouble); }};
  };
}

Factory scripted(const std::vector<ScriptParameter>& parameters, const std::string& source) {
  return [parameters, source] {
    auto script = std::make_shared<torch::jit::Module>("Net");
    for (const ScriptParameter& parameter : parameters) {
      const at::Tensor value = at::randn(parameter.shape).mul_(0.5);
      script->register_parameter(parameter.name, value.set_requires_grad(parameter.trainable), false);
    }
    script->define(source);
    return Subject{[script] {
                     std::vector<std::pair<std::string, at::Tensor>> named;
                     for (const auto& item : script->named_parameters()) named.emplace_back(item.name, item.value);
                     return named;
                   },
                   [script](const at::Tensor& x) { return script->forward({x}).toTensor(); },
                   [script] { script->to(at::kDouble); }};
  };
}

std::function<at::Tensor(int64_t)> features(std::vector<int64_t> shape) {
  return [shape](int64_t batch) {
    std::vector<int64_t> sizes = {batch};
    sizes.insert(sizes.end(), shape.begin(), shape.end());
    return at::randn(sizes);
  };
}

std::function<at::Tensor(int64_t)> tokens(int64_t length, int64_t vocabulary) {
  return [=](int64_t batch) { return at::randint(vocabulary, {batch, length}, at::kLong); };
}

at::Tensor wavy_loss(const at::Tensor& output) {
  const at::Tensor flat = output.reshape({output.size(0), -1});
  const at::Tensor weights = at::arange(1, flat.size(1) + 1, flat.options().requires_grad(false)).rsqrt();
  return (flat.sin() * weights).sum(1) + flat.square().sum(1) * 0.1;
}

}  // namespace sotto

#include "engine/models/mlp.h"

#include "base/error.h"

namespace sotto {

Mlp::Mlp(int64_t inputs, const std::vector<int64_t>& hidden, int64_t outputs) {
  std::vector<int64_t> widths = {inputs};
  widths.insert(widths.end(), hidden.begin(), hidden.end());
  widths.push_back(outputs);
  for (size_t i = 0; i + 1 < widths.size(); ++i)
    layers_.push_back(register_module(cat("layer", i), torch::nn::Linear(widths[i], widths[i + 1])));
}

at::Tensor Mlp::forward(const at::Tensor& input) {
  at::Tensor x = layers_[0]->forward(input);
  for (size_t i = 1; i < layers_.size(); ++i) x = layers_[i]->forward(at::relu(x));
  return x;
}

void Mlp::start_at(double bias) {
  const at::NoGradGuard no_grad;
  layers_.back()->weight.zero_();
  layers_.back()->bias.fill_(bias);
}

torch::jit::Module mlp_script(const std::vector<std::pair<std::string, at::Tensor>>& parameters) {
  torch::jit::Module script("Mlp");
  std::string code = "def forward(self, x):\n";
  for (size_t i = 0; i + 1 < parameters.size(); i += 2) {
    const std::string layer = cat("layer", i / 2);
    script.register_parameter(layer + "_weight", parameters[i].second.detach().clone(), false);
    script.register_parameter(layer + "_bias", parameters[i + 1].second.detach().clone(), false);
    if (i > 0) code += "  x = torch.relu(x)\n";
    code += cat("  x = torch.linear(x, self.", layer, "_weight, self.", layer, "_bias)\n");
  }
  script.define(code + "  return x\n");
  return script;
}

}  // namespace sotto

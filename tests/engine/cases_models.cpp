#include "engine/models/bert.h"
#include "engine/models/gpt2.h"
#include "engine/models/llama.h"
#include "engine/models/resnet.h"
#include "engine/models/vit.h"
#include "tests/engine/subject.h"

namespace sotto {
namespace {

// Parameters that begin at 0, as one of each two LoRA factors, would hide a wrong gradient of the others.
void draw_zeros(const torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : module.parameters())
    if (parameter.requires_grad() && parameter.count_nonzero().item<int64_t>() == 0) parameter.normal_(0, 0.4);
}

template <class Module, class Sizes>
Factory whole(const Sizes& sizes) {
  return eager([=](Net& net) -> std::function<at::Tensor(const at::Tensor&)> {
    const auto module = net.register_module("m", std::make_shared<Module>(sizes));
    draw_zeros(*module);
    return [module](const at::Tensor& x) { return module->forward(x); };
  });
}

}  // namespace

// The bench's large models at sizes of a test.
std::vector<Case> model_cases() {
  return {{"gpt2, tied", whole<Gpt2>(Gpt2Sizes{20, 12, 8, 2, 2}), tokens(9, 20)},
          {"llama, tied, fewer heads for keys", whole<Llama>(LlamaSizes{20, 2, {8, 4, 2, 12}}), tokens(9, 20)},
          {"llama, LoRA factors alone", whole<Llama>(LlamaSizes{20, 2, {8, 4, 2, 12, 3, 3.0}}), tokens(9, 20)},
          {"bert", whole<Bert>(BertSizes{20, 12, 8, 2, 2, 3}), tokens(9, 20)},
          {"vit", whole<Vit>(VitSizes{8, 4, 8, 2, 2, 3}), features({3, 8, 8})},
          {"resnet", whole<Resnet>(ResnetSizes{{1, 2}, 4, 2, 3}), features({3, 16, 16})}};
}

}  // namespace sotto

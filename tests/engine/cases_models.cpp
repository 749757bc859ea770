#include "engine/models/bert.h"
#include "engine/models/gpt2.h"
#include "engine/models/resnet.h"
#include "engine/models/vit.h"
#include "tests/engine/subject.h"

namespace sotto {
namespace {

template <class Module>
Factory whole(std::function<std::shared_ptr<Module>()> make) {
  return eager([=](Net& net) -> std::function<at::Tensor(const at::Tensor&)> {
    const auto module = net.register_module("m", make());
    return [module](const at::Tensor& x) { return module->forward(x); };
  });
}

}  // namespace

// The bench's large models at sizes of a test.
std::vector<Case> model_cases() {
  return {{"gpt2, tied", whole<Gpt2>([] { return std::make_shared<Gpt2>(Gpt2Sizes{20, 12, 8, 2, 2}); }), tokens(9, 20)},
          {"bert", whole<Bert>([] { return std::make_shared<Bert>(BertSizes{20, 12, 8, 2, 2, 3}); }), tokens(9, 20)},
          {"vit", whole<Vit>([] { return std::make_shared<Vit>(VitSizes{8, 4, 8, 2, 2, 3}); }), features({3, 8, 8})},
          {"resnet",
           whole<Resnet>([] { return std::make_shared<Resnet>(ResnetSizes{{1, 2}, 4, 2, 3}); }), features({3, 16, 16})}};
}

}  // namespace sotto

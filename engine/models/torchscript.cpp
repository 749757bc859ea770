#include "engine/models/torchscript.h"

#include <torch/csrc/jit/passes/inliner.h>

#include <unordered_set>

#include "base/error.h"
#include "engine/models/routed_linear.h"

namespace sotto {
namespace {

using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Value;

// Operators that turn a tensor into a number. Those that make a *shape* of values (nonzero, masks as indices) are left
// to the tape, which passes each sample alone then.
bool reads_values(const Node& node) {
  static const std::unordered_set<std::string> readers = {
      "aten::Bool",        "aten::Int",           "aten::Float",          "aten::item",
      "aten::IntImplicit", "aten::FloatImplicit", "aten::is_nonzero",     "aten::equal",
      "aten::allclose",    "aten::tolist",        "aten::ScalarImplicit", "aten::_local_scalar_dense"};
  return readers.count(node.kind().toQualString()) > 0;
}

// Sizes are public: a tensor made from one (NumToTensor) holds no data.
bool holds_data(const Value* value, std::unordered_set<const Value*>& seen) {
  if (!value->type()->isSubtypeOf(*c10::TensorType::get()) || !seen.insert(value).second) return false;
  const Node* node = value->node();
  if (node->kind() == torch::jit::prim::NumToTensor || node->kind() == torch::jit::prim::Constant) return false;
  if (node->inputs().empty() || node->kind() == torch::jit::prim::GetAttr) return true;
  for (const Value* input : node->inputs())
    if (holds_data(input, seen)) return true;
  return false;
}

void refuse_value_dependence(const Block& block, const std::string& path) {
  for (const Node* node : block.nodes()) {
    for (const Block* inner : node->blocks()) refuse_value_dependence(*inner, path);
    if (!reads_values(*node)) continue;
    for (const Value* input : node->inputs()) {
      std::unordered_set<const Value*> seen;
      if (holds_data(input, seen))
        throw Error(ErrorKind::configuration,
                    cat(path, ": the model reads the values of a tensor (", node->kind().toQualString(),
                        ") and so can let one sample decide what happens to another; write it without value-dependent "
                        "control flow (torch.where instead of if)"));
    }
  }
}

}  // namespace

torch::jit::Module load_torchscript(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path))
    throw Error(ErrorKind::io,
                cat("no model file ", path.string(), "; save one in Python with torch.jit.script(m).save(path)"));
  define_routed_linear();
  torch::jit::Module module;
  try {
    module = torch::jit::load(path.string(), at::kCPU);
  } catch (const c10::Error& error) {
    throw Error(
        ErrorKind::data,
        cat(path.string(), " is not a TorchScript file that this LibTorch reads: ", error.what_without_backtrace()));
  }
  bool trains = false;
  for (const at::Tensor& parameter : module.parameters()) trains = trains || parameter.requires_grad();
  if (!trains)
    throw Error(ErrorKind::configuration,
                cat(path.string(),
                    " has no trainable parameter, as a frozen TorchScript file has none; "
                    "save it with torch.jit.script or torch.jit.trace, without torch.jit.freeze"));
  auto graph = module.get_method("forward").graph()->copy();
  torch::jit::Inline(*graph);
  refuse_value_dependence(*graph->block(), path.string());
  return module;
}

}  // namespace sotto

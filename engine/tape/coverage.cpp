#include "engine/tape/coverage.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <unordered_set>

#include "base/error.h"

namespace sotto {
namespace {

constexpr int64_t kBatch = 3;

// The parameters whose unclipped gradient a backward pass from `losses` would make.
std::set<int64_t> reachable(const at::Tensor& losses, const Parameters& parameters) {
  std::set<int64_t> found;
  std::vector<torch::autograd::Node*> open = {losses.grad_fn().get()};
  std::unordered_set<torch::autograd::Node*> seen;
  while (!open.empty()) {
    torch::autograd::Node* node = open.back();
    open.pop_back();
    if (!node || !seen.insert(node).second) continue;
    if (const auto* leaf = dynamic_cast<torch::autograd::AccumulateGrad*>(node))
      if (const int64_t index = parameters.find(leaf->variable); index >= 0) found.insert(index);
    for (const auto& edge : node->next_edges()) open.push_back(edge.function.get());
  }
  return found;
}

struct Pass {
  std::vector<RecordedUse> uses;
  std::set<int64_t> uncaptured;
};

Pass pass(Tape& tape, const Parameters& parameters, const Probe& probe, int64_t batch) {
  const at::Tensor input = probe.input(batch, 7);
  Pass made;
  made.uses = tape.observe(batch, [&] {
    const at::Tensor losses = probe.losses(input);
    made.uncaptured = reachable(losses, parameters);
    return losses;
  });
  return made;
}

// Whether some dimension of a use's input is the batch, or the first one a multiple of it.
bool follows_batch(const RecordedUse& of_two, const RecordedUse& of_three) {
  if (of_two.shape.size() != of_three.shape.size() || of_two.shape.empty()) return false;
  for (size_t k = 0; k < of_two.shape.size(); ++k)
    if (of_two.shape[k] == 2 && of_three.shape[k] == 3) return true;
  return of_two.shape[0] % 2 == 0 && of_three.shape[0] == of_two.shape[0] / 2 * 3;
}

// The seed draws the dropout masks: the same in two passes, so that only the changed sample differs.
at::Tensor losses_of(const Probe& probe, const at::Tensor& input, uint64_t seed = 1) {
  at::manual_seed(seed);
  const at::Tensor losses = probe.losses(input);
  if (losses.dim() != 1 || losses.size(0) != input.size(0))
    throw Error(ErrorKind::configuration, cat("the loss must be a vector with one entry a sample; for ", input.size(0),
                                              " samples it has shape ", losses.sizes()));
  return losses;
}

std::string names(const Parameters& parameters) {
  return parameters.size() == 1 ? parameters.name(0) : cat(parameters.name(0), " and ", parameters.size() - 1, " more");
}

}  // namespace

std::set<int64_t> uncaptured_parameters(Tape& tape, const Parameters& parameters, const Probe& probe) {
  const Pass of_two = pass(tape, parameters, probe, 2), of_three = pass(tape, parameters, probe, 3);
  std::set<int64_t> found = of_two.uncaptured;
  for (const RecordedUse& use : of_two.uses)
    if (found.contains(use.parameter))
      throw Error(ErrorKind::configuration,
                  cat("parameter ", parameters.name(use.parameter), ": besides its ", use.operation,
                      " there is a use that is hidden from it (a matmul, cast, slice, view or sum of it), so that the "
                      "two cannot be told apart by sample; pass it whole to both, or freeze it with "
                      "requires_grad_(false)"));
  if (of_two.uses.size() == of_three.uses.size())
    for (size_t i = 0; i < of_two.uses.size(); ++i)
      if (!follows_batch(of_two.uses[i], of_three.uses[i])) found.insert(of_two.uses[i].parameter);
  return found;
}

ModelStructure check_sample_passes(const Parameters& parameters, const Probe& probe) {
  const at::AutoGradMode with_gradients(true);
  const at::Tensor input = probe.input(kBatch, 7), other = probe.input(kBatch, 8);
  const at::Tensor losses = losses_of(probe, input).detach();
  std::vector<at::Tensor> trained;
  for (int64_t k = 0; k < parameters.size(); ++k) trained.push_back(parameters.tensor(k));
  for (int64_t sample = 0; sample < kBatch; ++sample) {
    at::Tensor perturbed = input.clone();
    perturbed.select(0, sample).copy_(other.select(0, sample));
    const at::Tensor after = losses_of(probe, perturbed).detach();
    for (int64_t others = 0; others < kBatch; ++others)
      if (others != sample && !after[others].equal(losses[others]))
        throw Error(ErrorKind::configuration,
                    cat("parameters ", names(parameters),
                        ": changing one sample changes the loss of another, so no sample's influence can be bounded; "
                        "remove what mixes samples (batch normalisation, batch means, in-batch negatives)"));
  }
  // Batches of another size take other paths through the float kernels, hence a tolerance; what divides by the size of
  // the batch is off by a half.
  const double together = losses[0].item<double>();
  const at::Tensor alone = losses_of(probe, input.narrow(0, 0, 1).contiguous());
  const bool random = !losses_of(probe, input, 2).detach().equal(losses);  // dropout draws other masks alone
  if (!random && !(std::abs(alone[0].item<double>() - together) <= 1e-3 * std::abs(together) + 1e-6))
    throw Error(ErrorKind::configuration,
                cat("parameters ", names(parameters), ": a sample's loss is ", together, " in a batch of ", kBatch,
                    " and ", alone[0].item<double>(),
                    " alone, so the number of samples shows in it; do not divide by the size of the batch"));
  if (!alone.requires_grad())
    throw Error(ErrorKind::configuration, "the loss does not depend on any trainable parameter");
  const auto gradients =
      torch::autograd::grad({alone}, {trained.begin(), trained.end()}, {at::ones_like(alone)}, {}, false, true);
  for (int64_t k = 0; k < parameters.size(); ++k)
    if (!gradients[static_cast<size_t>(k)].defined())
      throw Error(ErrorKind::configuration, cat("parameter ", parameters.name(k),
                                                " is not used by the forward pass, so it would train on noise alone; "
                                                "freeze it with requires_grad_(false) or remove it"));
  return {.parameter_elements = parameters.elements()};
}

ModelStructure check_model(Tape& tape, const Parameters& parameters, const Probe& probe) {
  if (uncaptured_parameters(tape, parameters, probe).empty()) return check_structure(tape, parameters, probe);
  const ModelStructure structure = check_sample_passes(parameters, probe);
  std::set<int64_t> all;  // a pass for each sample gives every gradient, and needs to know no layout
  for (int64_t k = 0; k < parameters.size(); ++k) all.insert(k);
  tape.set_uncaptured(std::move(all));
  return structure;
}

}  // namespace sotto

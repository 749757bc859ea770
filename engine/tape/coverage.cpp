#include "engine/tape/coverage.h"

#include <torch/csrc/autograd/autograd.h>

#include "base/error.h"
#include "engine/autocast.h"
#include "engine/tape/layouts.h"
#include "engine/tape/loss_graph.h"

namespace sotto {
namespace {

constexpr int64_t kBatch = 3;

struct Pass {
  Observed seen;
  std::set<int64_t> uncaptured;
};

Pass pass(Tape& tape, const Parameters& parameters, const Probe& probe, int64_t batch, uint64_t seed) {
  const at::Tensor input = probe.input(batch, seed);
  Pass made;
  made.seen = tape.observe(batch, [&] {
    const at::Tensor losses = probe.losses(input);
    made.uncaptured = parameters_reached(losses, parameters);
    return losses;
  });
  return made;
}

// Forward passes of two samples and of three others: what follows the batch, or a sample, differs.
struct Passes {
  Pass of_two, of_three;
};

Passes both(Tape& tape, const Parameters& parameters, const Probe& probe) {
  return {pass(tape, parameters, probe, 2, 7), pass(tape, parameters, probe, 3, 8)};
}

std::vector<RecordedUse> embeddings_of(const Pass& made) {
  std::vector<RecordedUse> found;
  for (const RecordedUse& use : made.seen.uses)
    if (use.operation == "embedding") found.push_back(use);
  return found;
}

// The embeddings, by their number in a pass, that all samples share, with their ids, which are the same in both.
std::map<int64_t, at::Tensor> shared_embeddings(const Passes& passes) {
  const auto two = embeddings_of(passes.of_two), three = embeddings_of(passes.of_three);
  std::map<int64_t, at::Tensor> shared;
  if (two.size() != three.size()) return shared;
  for (size_t i = 0; i < two.size(); ++i)
    if (two[i].input.sizes() == three[i].input.sizes() && two[i].input.equal(three[i].input))
      shared.emplace(static_cast<int64_t>(i), two[i].input.reshape({-1}).to(at::kCPU, at::kLong));
  return shared;
}

std::set<int64_t> every(const Parameters& parameters) {
  std::set<int64_t> all;
  for (int64_t k = 0; k < parameters.size(); ++k) all.insert(k);
  return all;
}

std::set<int64_t> uncaptured_in(const Passes& passes, const Parameters& parameters) {
  const auto& [of_two, of_three] = passes;
  if (of_two.seen.shapes_from_values || of_three.seen.shapes_from_values) return every(parameters);
  std::set<int64_t> found = of_two.uncaptured;
  for (const RecordedUse& use : of_two.seen.uses)
    if (found.contains(use.parameter))
      throw Error(ErrorKind::configuration,
                  cat("parameter ", parameters.name(use.parameter), ": besides its ", use.operation,
                      " there is a use that is hidden from it (a matmul, cast, slice, view or sum of it), so that the "
                      "two cannot be told apart by sample; pass it whole to both, or freeze it with "
                      "requires_grad_(false)"));
  const auto &two = of_two.seen.uses, &three = of_three.seen.uses;
  if (two.size() == three.size())
    for (size_t i = 0; i < two.size(); ++i)
      if (possible_layouts(two[i], three[i]).empty()) found.insert(two[i].parameter);
  return found;
}

// The seed draws the dropout masks: the same in two passes, so that only the changed sample differs.
at::Tensor losses_of(const Probe& probe, const at::Tensor& input, uint64_t seed = 1) {
  at::manual_seed(seed);
  const at::Tensor losses = probe.losses(input);
  check_losses(losses, input.size(0));
  return losses;
}

std::string names(const Parameters& parameters) {
  return parameters.size() == 1 ? parameters.name(0) : cat(parameters.name(0), " and ", parameters.size() - 1, " more");
}

}  // namespace

std::set<int64_t> uncaptured_parameters(Tape& tape, const Parameters& parameters, const Probe& probe) {
  return uncaptured_in(both(tape, parameters, probe), parameters);
}

ModelStructure check_sample_passes(const Parameters& parameters, const Probe& probe, double rounding,
                                   at::ScalarType product_type) {
  const at::AutoGradMode with_gradients(true);
  const Autocast autocast(parameters.tensor(0).device().type(), product_type);
  const at::Tensor input = probe.input(kBatch, 7), other = probe.input(kBatch, 8);
  const at::Tensor losses = losses_of(probe, input).detach();
  std::vector<at::Tensor> trained;
  for (int64_t k = 0; k < parameters.size(); ++k) trained.push_back(parameters.tensor(k));
  for (int64_t sample = 0; sample < kBatch; ++sample) {
    at::Tensor perturbed = input.clone();
    perturbed.select(0, sample).copy_(other.select(0, sample));
    const at::Tensor after = losses_of(probe, perturbed).detach();
    for (int64_t others = 0; others < kBatch; ++others)
      if (others != sample && !after[others].equal(losses[others]) &&
          !(after[others] - losses[others]).abs().le(rounding * losses[others].abs()).item<bool>())
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
  const double tolerance = product_type == at::kFloat ? 1e-3 : 0x1p-4;
  if (!random && !(std::abs(alone[0].item<double>() - together) <= tolerance * std::abs(together) + 1e-6))
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
  tape.set_shared_embeddings({});
  Passes passes = both(tape, parameters, probe);
  if (std::map<int64_t, at::Tensor> shared = shared_embeddings(passes); !shared.empty()) {
    tape.set_shared_embeddings(std::move(shared));
    passes = both(tape, parameters, probe);
  }
  if (uncaptured_in(passes, parameters).empty()) return check_structure(tape, parameters, probe);
  // Rows that values put into groups are rounded with their group, in this check: in a run each sample is alone.
  const bool grouped = passes.of_two.seen.shapes_from_values || passes.of_three.seen.shapes_from_values;
  const double grouped_rounding = tape.product_type() == at::kFloat ? 1e-4 : 0x1p-6;
  const ModelStructure structure =
      check_sample_passes(parameters, probe, grouped ? grouped_rounding : 0, tape.product_type());
  tape.set_uncaptured(every(parameters));  // a pass for each sample gives every gradient, and needs no layout
  return structure;
}

}  // namespace sotto

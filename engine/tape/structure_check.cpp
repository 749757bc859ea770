#include "engine/tape/structure_check.h"

#include "base/error.h"
#include "engine/tape/layouts.h"

namespace sotto {
namespace {

GradSamples run(Tape& tape, const Probe& probe, const at::Tensor& input) {
  struct Comparing {
    Tape& tape;
    explicit Comparing(Tape& of) : tape(of) { tape.set_comparing(true); }
    ~Comparing() { tape.set_comparing(false); }
  } const comparing(tape);
  // The same dropout masks in every pass, so that only the perturbed sample differs.
  at::manual_seed(1);
  return tape.per_sample(input.size(0), [&] { return probe.losses(input); });
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const auto bytes = [](const at::Tensor& x) { return x.contiguous().view(-1).view(at::kByte); };
  return a.sizes() == b.sizes() && a.dtype() == b.dtype() && bytes(a).equal(bytes(b));
}

// Whether sample `sample` contributes exactly the same in both passes.
bool same_contribution(const ParameterSamples& a, const ParameterSamples& b, int64_t batch, int64_t sample) {
  const auto rows = [&](const at::Tensor& tensor) { return tensor.view({batch, -1}).select(0, sample); };
  if (a.factored.size() != b.factored.size() || a.indexed.size() != b.indexed.size() ||
      a.stored.size() != b.stored.size() || a.recomputed.size() != b.recomputed.size())
    return false;
  for (size_t i = 0; i < a.factored.size(); ++i)
    if (!same_bits(rows(a.factored[i].activation), rows(b.factored[i].activation)) ||
        !same_bits(rows(a.factored[i].gradient), rows(b.factored[i].gradient)))
      return false;
  for (size_t i = 0; i < a.indexed.size(); ++i)
    if (!rows(a.indexed[i].ids).equal(rows(b.indexed[i].ids)) ||
        !same_bits(rows(a.indexed[i].gradient), rows(b.indexed[i].gradient)))
      return false;
  for (size_t i = 0; i < a.stored.size(); ++i)
    if (!same_bits(rows(a.stored[i]), rows(b.stored[i]))) return false;
  for (size_t i = 0; i < a.recomputed.size(); ++i)
    if (!same_bits(a.recomputed[i].rows(sample, 1), b.recomputed[i].rows(sample, 1))) return false;
  return true;
}

// The rows that one sample brings to a use; a convolution's gradients never come as rows.
int64_t rows_of(const RecordedUse& use, int64_t batch) {
  const bool ids = use.operation.starts_with("embedding");
  const int64_t trailing = ids || use.shape.size() < 2 ? 1 : use.shape.back();
  const int64_t elements = c10::multiply_integers(use.shape) / std::max<int64_t>(trailing, 1);
  return use.operation == "convolution" ? 1 : std::max<int64_t>(1, elements / batch);
}

}  // namespace

ModelStructure check_structure(Tape& tape, const Parameters& parameters, const Probe& probe) {
  tape.set_layouts(find_layouts(tape, parameters, probe));
  ModelStructure structure = {.parameter_elements = parameters.elements()};
  for (const int64_t batch : {2, 3}) {
    run(tape, probe, probe.input(batch, 7));
    std::vector<int64_t> rows(static_cast<size_t>(parameters.size()), 0);
    for (const RecordedUse& use : tape.uses()) {
      rows[static_cast<size_t>(use.parameter)] += rows_of(use, batch);
    }
    for (const ProductShape& product : tape.products())
      if (product.convolution) structure.positions_per_unit = std::max(structure.positions_per_unit, product.length);
    for (int64_t k = 0; k < parameters.size(); ++k) {
      if (rows[static_cast<size_t>(k)] == 0)
        throw Error(ErrorKind::configuration, cat("parameter ", parameters.name(k),
                                                  " is not used by the forward pass, so it would train on noise "
                                                  "alone; freeze it with requires_grad_(false) or remove it"));
      structure.rows_per_unit = std::max(structure.rows_per_unit, rows[static_cast<size_t>(k)]);
    }
  }

  constexpr int64_t batch = 3;
  const at::Tensor input = probe.input(batch, 7), other = probe.input(batch, 8);
  const GradSamples before = run(tape, probe, input);
  for (const ParameterSamples& samples : before.parameters)
    structure.tied = structure.tied || (!samples.factored.empty() && !samples.indexed.empty());
  // Each sample in turn: a batch that is turned round leaves its middle where it was.
  for (int64_t changed = 0; changed < batch; ++changed) {
    at::Tensor perturbed = input.clone();
    perturbed.select(0, changed).copy_(other.select(0, changed));
    const GradSamples after = run(tape, probe, perturbed);
    for (int64_t k = 0; k < parameters.size(); ++k)
      for (int64_t sample = 0; sample < batch; ++sample)
        if (sample != changed && !same_contribution(before.parameters[static_cast<size_t>(k)],
                                                    after.parameters[static_cast<size_t>(k)], batch, sample))
          throw Error(ErrorKind::configuration,
                      cat("parameter ", parameters.name(k),
                          ": changing one sample changes the gradient of another, so no "
                          "sample's influence can be bounded; remove what mixes samples (batch normalisation, batch "
                          "means, in-batch negatives)"));
  }
  return structure;
}

}  // namespace sotto

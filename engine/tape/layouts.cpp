#include "engine/tape/layouts.h"

#include "base/error.h"

namespace sotto {
namespace {

constexpr int64_t kBatch = 3;

std::vector<RecordedUse> observe(Tape& tape, const Probe& probe, const at::Tensor& input) {
  at::manual_seed(1);  // the same dropout masks in every pass, so that only the changed sample differs
  return tape.observe(input.size(0), [&] { return probe.losses(input); }).uses;
}

// Whether only sample `changed` differs between a use's two inputs, if its samples are where the layout says.
bool changes_alone(const at::Tensor& before, const at::Tensor& after, const BatchLayout& layout, int64_t changed) {
  const at::Tensor a = by_sample(before, layout, kBatch), b = by_sample(after, layout, kBatch);
  for (int64_t sample = 0; sample < kBatch; ++sample)
    if (sample != changed && !at::equal(a.select(0, sample), b.select(0, sample))) return false;
  return true;
}

[[noreturn]] void refuse(const Parameters& parameters, const RecordedUse& use, const std::string& what) {
  throw Error(ErrorKind::configuration,
              cat("parameter ", parameters.name(use.parameter), ": the input of its ", use.operation, ", of shape ",
                  at::IntArrayRef(use.shape), " for a batch of ", kBatch, ", ", what));
}

}  // namespace

std::vector<BatchLayout> possible_layouts(const RecordedUse& of_two, const RecordedUse& of_three) {
  std::vector<BatchLayout> found;
  if (of_two.shape.size() != of_three.shape.size()) return found;
  for (size_t k = 0; k < of_three.shape.size(); ++k)
    if (of_two.shape[k] == 2 && of_three.shape[k] == kBatch) found.push_back({.dimension = static_cast<int64_t>(k)});
  if (!of_three.shape.empty() && of_two.shape[0] % 2 == 0 && of_three.shape[0] == of_two.shape[0] / 2 * kBatch) {
    const int64_t positions = of_three.shape[0] / kBatch;
    found.push_back({.merged = true, .positions = positions});
    found.push_back({.merged = true, .position_first = true, .positions = positions});
  }
  return found;
}

std::vector<BatchLayout> find_layouts(Tape& tape, const Parameters& parameters, const Probe& probe) {
  const at::Tensor input = probe.input(kBatch, 7), other = probe.input(kBatch, 8);
  const auto of_two = observe(tape, probe, input.narrow(0, 0, 2).contiguous()), of_three = observe(tape, probe, input);
  std::vector<std::vector<RecordedUse>> changed;
  for (int64_t sample = 0; sample < kBatch; ++sample) {
    at::Tensor perturbed = input.clone();
    perturbed.select(0, sample).copy_(other.select(0, sample));
    changed.push_back(observe(tape, probe, perturbed));
  }
  const auto same_order = [&](const std::vector<RecordedUse>& uses) {
    return std::ranges::equal(uses, of_three, {}, &RecordedUse::parameter, &RecordedUse::parameter);
  };
  if (!same_order(of_two) || !std::ranges::all_of(changed, same_order))
    throw Error(ErrorKind::configuration,
                "the model uses its layers in an order that depends on the batch, so that no sample's influence can be "
                "bounded; make its control flow independent of its input");
  std::vector<BatchLayout> layouts;
  for (size_t i = 0; i < of_three.size(); ++i) {
    const RecordedUse& use = of_three[i];
    const auto fitting = possible_layouts(of_two[i], use);
    if (fitting.empty())
      refuse(parameters, use,
             "has no dimension that is the batch; give each sample its own rows (expand shared ids to the batch)");
    const auto found = std::ranges::find_if(fitting, [&](const BatchLayout& layout) {
      for (int64_t sample = 0; sample < kBatch; ++sample)
        if (!changes_alone(use.input, changed[static_cast<size_t>(sample)][i].input, layout, sample)) return false;
      return true;
    });
    // Where samples mix, no layout fits: the gradients, which are compared next, name the parameter and say so.
    layouts.push_back(found == fitting.end() ? fitting.front() : *found);
  }
  return layouts;
}

}  // namespace sotto

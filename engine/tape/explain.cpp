#include "engine/tape/explain.h"

#include <algorithm>

#include "base/error.h"

namespace sotto {
namespace {

constexpr double kFloat = sizeof(float);

struct Sizes {
  double batch, elements;
};

double outer_flops(const Sizes& n, double p, double d) {
  return 2 * n.batch * (p + d);
}

double ghost_flops(const Sizes& n, double length, double p, double d) {
  return n.batch * length * (length + 1) * (p + d);
}

double direct_flops(const Sizes& n, double length, double p, double d) {
  return 2 * n.batch * length * p * d;
}

// Storing replaces the product that makes the weight's gradient by one of the same size.
double stored_least(const Sizes& n) {
  return 4 * n.batch * n.elements;
}

double least_of_factors(const Sizes& n, double length, double p, double d) {
  if (length <= 1) return outer_flops(n, p, d);
  return std::min({ghost_flops(n, length, p, d), direct_flops(n, length, p, d), stored_least(n)});
}

// Rows of a sample over all uses of a parameter, from what was recorded.
double recorded_length(const std::vector<RecordedUse>& uses, int64_t parameter, double batch) {
  double rows = 0;
  for (const RecordedUse& use : uses)
    if (use.parameter == parameter && !use.shape.empty())
      rows += static_cast<double>(c10::multiply_integers(use.shape)) /
              static_cast<double>(std::max<int64_t>(use.shape.back(), 1));
  return std::max(1.0, rows / batch);
}

// `shares_gram`: the Gram matrix of its gradients is another parameter's too, and counted there.
void explain_factored(const ParameterSamples& samples, const Sizes& n, bool shares_gram, ParameterRule& rule) {
  double length = 0, p = 0, d = 0, entry = kFloat;
  bool direct = false;
  for (const FactoredUse& use : samples.factored) {
    direct = direct || use.direct;
    length += static_cast<double>(use.length);
    p = static_cast<double>(use.gradient.size(1));
    d = static_cast<double>(use.activation.size(1));
    entry = static_cast<double>(use.gradient.element_size());
  }
  rule.rule = length <= 1 ? "outer product" : direct ? "direct" : "ghost";
  rule.flops += length <= 1 ? outer_flops(n, p, d)
                : direct    ? direct_flops(n, length, p, d)
                            : ghost_flops(n, length, shares_gram ? 0 : p, d);
  rule.bytes += entry * n.batch * length * (p + d);
  rule.least_flops += least_of_factors(n, length, p, d);
}

void explain_indexed(const ParameterSamples& samples, const Sizes& n, ParameterRule& rule) {
  double length = 0, d = 0, head = 0;
  for (const IndexedUse& use : samples.indexed) {
    length += static_cast<double>(use.ids.size(1));
    d = static_cast<double>(use.gradient.size(1));
  }
  for (const FactoredUse& use : samples.factored) head += static_cast<double>(use.length);
  rule.rule = head > 0 ? "embedding + tied head" : "embedding";
  const double own = 2 * n.batch * length * d + 2 * n.batch * length * head * d;
  rule.flops += own;
  rule.bytes += n.batch * length * (kFloat * d + sizeof(int64_t));
  rule.least_flops = std::min(rule.least_flops + own, stored_least(n));
}

// Any mixture is made as one, block by block.
void explain_recomputed(const ParameterSamples& samples, const Sizes& n, double length, ParameterRule& rule) {
  if (samples.recomputed.size() == 1 && samples.recomputed[0].without_rows.rule) {
    const WithoutRows& way = samples.recomputed[0].without_rows;
    rule.rule = way.rule;
    rule.flops = way.norm_flops;
    rule.bytes = way.kept_bytes;
    rule.least_flops = std::min(rule.flops, stored_least(n));
    return;
  }
  rule.rule = "recomputed";
  rule.flops = 2 * n.batch * n.elements * (1 + length);
  rule.bytes += std::min<double>(n.batch * n.elements * kFloat, int64_t{64} << 20);
  rule.least_flops = stored_least(n);
}

}  // namespace

std::vector<ParameterRule> explain(const Parameters& parameters, const GradSamples& grads,
                                   const std::vector<RecordedUse>& uses, const std::set<int64_t>& uncaptured) {
  std::vector<ParameterRule> rules;
  std::set<const void*> gradients;  // of the factors so far
  for (int64_t k = 0; k < parameters.size(); ++k) {
    ParameterRule rule;
    rule.name = parameters.name(k);
    rule.shape = parameters.tensor(k).sizes().vec();
    for (const RecordedUse& use : uses)
      if (use.parameter == k && std::ranges::find(rule.operations, use.operation) == rule.operations.end())
        rule.operations.push_back(use.operation);
    const ParameterSamples& samples = grads.parameters[static_cast<size_t>(k)];
    const Sizes n = {static_cast<double>(grads.batch), static_cast<double>(parameters.tensor(k).numel())};
    const bool by_kernels = samples.stored.empty() && samples.recomputed.empty();
    if (uncaptured.contains(k)) {
      rule.rule = "per-sample pass (slow)";
      rule.flops = 2 * n.batch * n.elements;
      rule.bytes = kFloat * n.batch * n.elements;
      rule.least_flops = stored_least(n);
    } else if (samples.carried) {
      rule.rule = "with its weight";
    } else if (by_kernels && samples.factored.empty() && samples.indexed.empty()) {
      rule.rule = "no gradient reaches it";
    } else if (by_kernels) {
      if (!samples.factored.empty())
        explain_factored(samples, n, !gradients.insert(samples.factored[0].gradient.const_data_ptr()).second, rule);
      if (!samples.indexed.empty()) explain_indexed(samples, n, rule);
    } else if (samples.factored.empty() && samples.indexed.empty() && samples.recomputed.empty()) {
      rule.rule = "stored";
      rule.flops = 2 * n.batch * n.elements;
      for (const at::Tensor& rows : samples.stored) {
        rule.bytes += n.batch * n.elements * static_cast<double>(rows.element_size());
        if (rows.scalar_type() == at::kBFloat16) rule.rule = "stored_bf16";
      }
      rule.least_flops = stored_least(n);
      if (rule.operations == std::vector<std::string>{"linear"} && parameters.tensor(k).dim() == 2)
        rule.least_flops = least_of_factors(n, recorded_length(uses, k, n.batch), static_cast<double>(rule.shape[0]),
                                            static_cast<double>(rule.shape[1]));
    } else {
      explain_recomputed(samples, n, recorded_length(uses, k, n.batch), rule);
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

double flop_floor(const std::vector<ParameterRule>& rules, double step_flops) {
  require(step_flops > 0, "a floor needs a forward pass with matrix products");
  double extra = 0;
  for (const ParameterRule& rule : rules) extra += rule.least_flops;
  return 1 + extra / step_flops;
}

}  // namespace sotto

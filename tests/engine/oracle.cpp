#include "tests/engine/oracle.h"

#include <torch/csrc/autograd/autograd.h>

#include <unordered_set>

namespace sotto {

at::Tensor one_at_a_time(const Case& c, const Subject& subject, const at::Tensor& input) {
  const Subject twin = c.make();
  twin.to_double();
  std::vector<at::Tensor> trained;
  std::unordered_set<const void*> seen;
  const auto values = subject.named(), copies = twin.named();
  for (size_t i = 0; i < values.size(); ++i) {
    {
      const at::NoGradGuard no_grad;
      copies[i].second.copy_(values[i].second);
    }
    if (copies[i].second.requires_grad() && seen.insert(copies[i].second.unsafeGetTensorImpl()).second)
      trained.push_back(copies[i].second);
  }
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < input.size(0); ++i) {
    at::Tensor sample = input.narrow(0, i, 1);
    if (sample.is_floating_point()) sample = sample.to(at::kDouble);
    const auto gradients = torch::autograd::grad({wavy_loss(twin.forward(sample)).sum()}, {trained.begin(), trained.end()});
    std::vector<at::Tensor> parts;
    for (const at::Tensor& gradient : gradients) parts.push_back(gradient.reshape({-1}));
    rows.push_back(at::cat(parts));
  }
  return at::stack(rows);
}

at::Tensor clipped_sum(const GradSamples& grads, const Parameters& parameters, const at::Tensor& factors) {
  std::vector<at::Tensor> sums, parts;
  for (int64_t k = 0; k < parameters.size(); ++k) sums.push_back(at::zeros_like(parameters.tensor(k)).detach());
  add_clipped(Exec::cpu(1), grads, std::vector<int64_t>(sums.size()), factors, sums);
  for (const at::Tensor& sum : sums) parts.push_back(sum.reshape({-1}));
  return at::cat(parts);
}

Measured measure(Tape& tape, const Parameters& parameters, int64_t batch, const std::function<at::Tensor()>& losses) {
  return measure(parameters, tape.per_sample(batch, losses));
}

Measured measure(const Parameters& parameters, GradSamples grads) {
  const int64_t batch = grads.batch;
  Measured measured = {std::move(grads), at::zeros({batch}, at::kDouble), {}};
  const at::NoGradGuard no_grad;
  add_squared_norms(Exec::cpu(1), parameters, measured.grads, measured.squared);
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < batch; ++i) {
    const at::Tensor alone = at::zeros({batch});
    alone[i] = 1.0;
    rows.push_back(clipped_sum(measured.grads, parameters, alone).to(at::kDouble));
  }
  measured.gradients = at::stack(rows);
  return measured;
}

}  // namespace sotto

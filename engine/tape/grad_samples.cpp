#include "engine/tape/grad_samples.h"

#include "base/error.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/embedding_norms/embedding_norms.h"
#include "kernels/ghost_norms/ghost_norms.h"
#include "kernels/outer_norms/outer_norms.h"
#include "kernels/row_norms/row_norms.h"

namespace sotto {
namespace {

MatrixView<const float> matrix(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), tensor.size(0), tensor.size(1)};
}

MatrixView<const int64_t> id_matrix(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<int64_t>(), tensor.size(0), tensor.size(1)};
}

VectorView<float> vector(at::Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), tensor.numel()};
}

at::Tensor by_sample(const at::Tensor& rows, int64_t batch) {
  return rows.view({batch, -1, rows.size(1)});
}

// Uses along one sequence: Σ_t over the joined rows is the sum over the uses, so cross terms are exact.
void join_factored(std::vector<FactoredUse>& uses, int64_t batch) {
  if (uses.size() < 2) return;
  std::vector<at::Tensor> activations, gradients;
  int64_t length = 0;
  for (const FactoredUse& use : uses) {
    activations.push_back(by_sample(use.activation, batch));
    gradients.push_back(by_sample(use.gradient, batch));
    length += use.length;
  }
  uses = {{at::cat(activations, 1).flatten(0, 1), at::cat(gradients, 1).flatten(0, 1), length, -1}};
}

void join_indexed(std::vector<IndexedUse>& uses, int64_t batch) {
  if (uses.size() < 2) return;
  std::vector<at::Tensor> ids, gradients;
  for (const IndexedUse& use : uses) {
    ids.push_back(use.ids);
    at::Tensor gradient = by_sample(use.gradient, batch);
    // Each use has its own padding row, which gets no gradient from that use.
    if (use.padding_index >= 0) gradient = gradient.masked_fill(use.ids.eq(use.padding_index).unsqueeze(-1), 0.0);
    gradients.push_back(gradient);
  }
  uses = {{at::cat(ids, 1).contiguous(), at::cat(gradients, 1).flatten(0, 1), -1}};
}

void join_stored(std::vector<at::Tensor>& stored) {
  while (stored.size() > 1) {
    stored.front() = stored.front() + stored.back();
    stored.pop_back();
  }
}

}  // namespace

void add_squared_norms(const Exec& exec, GradSamples& grads, at::Tensor& squared) {
  const VectorView<double> out = {squared.mutable_data_ptr<double>(), squared.numel()};
  for (ParameterSamples& samples : grads.parameters) {
    join_factored(samples.factored, grads.batch);
    join_indexed(samples.indexed, grads.batch);
    join_stored(samples.stored);
    // Norms of the two forms do not add up without a cross term, which no kernel has.
    require(samples.stored.empty() || (samples.factored.empty() && samples.indexed.empty()),
            "a matrix is the weight of a layer norm and of a linear layer or an embedding at once; give each its own");
    for (const at::Tensor& rows : samples.stored) kernels::accumulate_row_norms(exec, matrix(rows), out);
    for (const FactoredUse& use : samples.factored) {
      if (use.length == 1)
        kernels::accumulate_outer_norms(exec, matrix(use.activation), matrix(use.gradient), use.bias >= 0, out);
      else
        kernels::accumulate_ghost_norms(exec, matrix(use.activation), matrix(use.gradient), use.length, false, out);
    }
    for (const IndexedUse& use : samples.indexed) {
      kernels::accumulate_embedding_norms(exec, id_matrix(use.ids), matrix(use.gradient), use.padding_index, out);
      for (const FactoredUse& head : samples.factored)
        kernels::accumulate_tied_cross_norms(exec, id_matrix(use.ids), matrix(use.gradient), use.padding_index,
                                             matrix(head.activation), matrix(head.gradient), out);
    }
  }
}

void add_clipped(const Exec& exec, const GradSamples& grads, const at::Tensor& factors, std::vector<at::Tensor>& sums) {
  const VectorView<const float> f = {factors.const_data_ptr<float>(), factors.numel()};
  for (size_t k = 0; k < grads.parameters.size(); ++k) {
    const ParameterSamples& samples = grads.parameters[k];
    for (const at::Tensor& rows : samples.stored)
      kernels::accumulate_clipped_rows(exec, matrix(rows), f, vector(sums[k]));
    for (const FactoredUse& use : samples.factored)
      kernels::accumulate_clipped_outer(
          exec, matrix(use.gradient), matrix(use.activation), f, use.length,
          {sums[k].mutable_data_ptr<float>(), use.gradient.size(1), use.activation.size(1)},
          use.bias < 0 ? VectorView<float>{nullptr, 0} : vector(sums[static_cast<size_t>(use.bias)]));
    for (const IndexedUse& use : samples.indexed)
      kernels::accumulate_clipped_embedding(exec, id_matrix(use.ids), matrix(use.gradient), f, use.padding_index,
                                            {sums[k].mutable_data_ptr<float>(), sums[k].size(0), sums[k].size(1)});
  }
}

}  // namespace sotto

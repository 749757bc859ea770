#include "engine/tape/grad_samples.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "engine/tape/norms_beside.h"
#include "engine/tape/row_sums.h"
#include "engine/tape/sequence_norms.h"
#include "engine/tape/sequence_sums.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/embedding_norms/embedding_norms.h"
#include "kernels/outer_norms/outer_norms.h"
#include "kernels/row_norms/row_norms.h"

namespace sotto {
namespace {

MatrixView<const float> matrix(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), tensor.size(0), tensor.size(1)};
}

// Calls take(view) with the rows in their own type.
template <class Take>
void with_rows(const at::Tensor& stored, const Take& take) {
  if (stored.scalar_type() != at::kBFloat16) return take(matrix(stored));
  take(MatrixView<const kernels::Bfloat16>{static_cast<const kernels::Bfloat16*>(stored.const_data_ptr()),
                                           stored.size(0), stored.size(1)});
}

VectorView<float> vector(at::Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), tensor.numel()};
}

kernels::Segments segments_of(const IndexedUse& use, int64_t batch) {
  if (!use.starts.defined()) return {batch, std::max<int64_t>(use.ids.size(1), 1)};
  return {batch, use.longest, use.starts.const_data_ptr<int64_t>()};
}

VectorView<const int64_t> id_vector(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<int64_t>(), tensor.numel()};
}

at::Tensor by_sample(const at::Tensor& rows, int64_t batch) {
  return rows.view({batch, -1, rows.size(1)});
}

bool same_columns(const ParameterSamples& samples) {
  const auto columns = [&](int64_t d) { return d == samples.factored.front().activation.size(1); };
  return std::ranges::all_of(samples.factored, columns, [](const auto& use) { return use.activation.size(1); }) &&
         std::ranges::all_of(samples.indexed, columns, [](const auto& use) { return use.gradient.size(1); });
}

// A weight can carry its bias only where one factor holds for both.
void separate_biases(GradSamples& grads, const std::vector<int64_t>& groups) {
  for (size_t k = 0; k < grads.parameters.size(); ++k)
    for (FactoredUse& use : grads.parameters[k].factored) {
      if (use.bias < 0 || groups[static_cast<size_t>(use.bias)] == groups[k]) continue;
      ParameterSamples& bias = grads.parameters[static_cast<size_t>(use.bias)];
      bias.stored.push_back(use.gradient);
      bias.carried = false;
      use.bias = -1;
    }
}

// Uses along one sequence: Σ_t over the joined rows is the sum over the uses, so cross terms are exact.
void join_along_sequence(std::vector<FactoredUse>& uses, int64_t batch) {
  if (uses.size() < 2) return;
  std::vector<at::Tensor> activations, gradients;
  int64_t length = 0;
  for (const FactoredUse& use : uses) {
    activations.push_back(by_sample(use.activation, batch));
    gradients.push_back(by_sample(use.gradient, batch));
    length += use.length;
  }
  const int64_t first_row = uses.front().first_row;
  uses = {{at::cat(activations, 1).flatten(0, 1), at::cat(gradients, 1).flatten(0, 1), length, -1, first_row}};
}

// Uses of the same rows of a parameter become one. Uses of rows apart stay apart, their norms add up; where rows
// overlap in part, or a table is the head of it too, each use is extended to all rows.
void join_factored(ParameterSamples& samples, int64_t batch, int64_t elements) {
  std::vector<FactoredUse>& uses = samples.factored;
  if (uses.empty() || !same_columns(samples)) return;
  std::map<std::pair<int64_t, int64_t>, std::vector<FactoredUse>> by_rows;  // first row, number of rows
  for (const FactoredUse& use : uses) by_rows[{use.first_row, use.gradient.size(1)}].push_back(use);
  bool apart = samples.indexed.empty();
  int64_t reached = 0;
  for (const auto& [rows, own] : by_rows) {
    apart = apart && rows.first >= reached;
    reached = rows.first + rows.second;
  }
  const int64_t all = elements / uses.front().activation.size(1);
  if (!apart && (by_rows.size() > 1 || by_rows.begin()->first.second != all)) {
    for (FactoredUse& use : uses) {
      const int64_t behind = all - use.first_row - use.gradient.size(1);
      use.gradient = at::constant_pad_nd(use.gradient, {use.first_row, behind});
      use.first_row = 0;
    }
    return join_along_sequence(uses, batch);
  }
  uses.clear();
  for (auto& [rows, own] : by_rows) {
    join_along_sequence(own, batch);
    uses.push_back(own.front());
  }
}

// A use of a table's entries, each a word of one column: what a bag's maximum makes.
IndexedUse by_entry(const IndexedUse& use) {
  const int64_t d = use.gradient.size(1);
  at::Tensor gradient = use.gradient;
  if (use.padding_index >= 0) gradient = gradient.masked_fill(use.ids.eq(use.padding_index).view({-1, 1}), 0.0);
  const at::Tensor entries = use.ids.unsqueeze(-1) * d + at::arange(d, use.ids.options());
  return {entries.flatten(1), gradient.reshape({-1, 1}), -1};
}

void join_indexed(std::vector<IndexedUse>& uses, int64_t batch) {
  if (uses.size() < 2) return;
  const auto same_width = [&](const IndexedUse& use) { return use.gradient.size(1) == uses.front().gradient.size(1); };
  if (!std::ranges::all_of(uses, same_width))
    for (IndexedUse& use : uses) use = by_entry(use);
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
    stored.front() = stored.front().to(at::kFloat) + stored.back();
    stored.pop_back();
  }
}

// Rows of units, one after the other.
at::Tensor rows_of_units(const FactoredUse& use, int64_t elements, int64_t first, int64_t count) {
  const at::Tensor starts = use.starts.cpu();
  const auto* start = starts.const_data_ptr<int64_t>() + first;
  at::Tensor rows = at::zeros({count, elements}, use.gradient.options().dtype(at::kFloat));
  const int64_t d = use.activation.size(1), p = use.gradient.size(1);
  for (int64_t u = 0; u < count; ++u) {
    const int64_t own = start[u + 1] - start[u];
    rows.select(0, u)
        .narrow(0, use.first_row * d, p * d)
        .view({p, d})
        .copy_(use.gradient.narrow(0, start[u], own)
                   .to(at::kFloat)
                   .t()
                   .mm(use.activation.narrow(0, start[u], own).to(at::kFloat)));
  }
  return rows;
}

at::Tensor rows_of(const FactoredUse& use, int64_t batch, int64_t elements, int64_t first, int64_t count) {
  if (use.starts.defined()) return rows_of_units(use, elements, first, count);
  const at::Tensor g = by_sample(use.gradient, batch).narrow(0, first, count).to(at::kFloat);
  const at::Tensor a = by_sample(use.activation, batch).narrow(0, first, count).to(at::kFloat);
  const at::Tensor own = at::bmm(g.transpose(1, 2), a).view({count, -1});
  if (own.size(1) == elements) return own;
  at::Tensor rows = at::zeros({count, elements}, own.options());
  rows.narrow(1, use.first_row * a.size(2), own.size(1)).copy_(own);
  return rows;
}

at::Tensor rows_of(const IndexedUse& use, int64_t, int64_t elements, int64_t first, int64_t count) {
  const int64_t d = use.gradient.size(1), ids = elements / d, length = use.ids.size(1);
  at::Tensor g, id, sample;  // of each row
  if (use.starts.defined()) {
    const at::Tensor starts = use.starts.narrow(0, first, count + 1);
    const int64_t begin = starts[0].item<int64_t>(), rows = starts[count].item<int64_t>() - begin;
    g = use.gradient.narrow(0, begin, rows);
    id = use.ids.reshape({-1}).narrow(0, begin, rows);
    sample = at::repeat_interleave(starts.diff());
  } else {
    g = use.gradient.narrow(0, first * length, count * length);
    id = use.ids.narrow(0, first, count).flatten();
    sample = at::arange(count, id.options()).repeat_interleave(length);
  }
  if (use.padding_index >= 0) g = g.masked_fill(id.eq(use.padding_index).unsqueeze(-1), 0.0);
  return row_sums(g, id + ids * sample, count * ids).view({count, elements});
}

at::Tensor sum_of_rows(const ParameterSamples& parts, int64_t batch, int64_t elements, int64_t first, int64_t count) {
  at::Tensor sum;
  const auto add = [&](const at::Tensor& rows) { sum = sum.defined() ? at::add(sum, rows) : rows; };
  for (const at::Tensor& rows : parts.stored) add(rows.narrow(0, first, count).to(at::kFloat));
  for (const FactoredUse& use : parts.factored) add(rows_of(use, batch, elements, first, count));
  for (const IndexedUse& use : parts.indexed) add(rows_of(use, batch, elements, first, count));
  for (const RecomputedUse& use : parts.recomputed) add(use.rows(first, count));
  return sum.defined() ? sum.contiguous() : at::zeros({count, elements});
}

// A mixture for which no kernel has the cross term becomes one use that is recomputed: the sum of its parts' rows.
void join_mixture(ParameterSamples& samples, int64_t batch, int64_t elements) {
  const bool by_kernels =
      samples.stored.empty() && samples.recomputed.empty() && (samples.factored.empty() || same_columns(samples));
  const bool one_kind = samples.factored.empty() && samples.indexed.empty() &&
                        (samples.recomputed.empty() || (samples.stored.empty() && samples.recomputed.size() == 1));
  if (by_kernels || one_kind) return;
  auto parts = std::make_shared<ParameterSamples>(std::move(samples));
  samples = {};
  samples.recomputed.push_back({[parts, batch, elements](int64_t first, int64_t count) {
    return sum_of_rows(*parts, batch, elements, first, count);
  }});
}

// The activations of weight k's one use, beside those of the later weights of its group that have the same output
// gradients (an LSTM's W_ih and W_hh): ‖(Σ g aᵀ, Σ g bᵀ)‖² is one norm, with one Gram matrix of the g. They become
// `measured`.
at::Tensor joined_activation(const GradSamples& grads, const std::vector<int64_t>& groups, size_t k,
                             std::vector<bool>& measured) {
  const FactoredUse& own = grads.parameters[k].factored.front();
  std::vector<at::Tensor> activations;
  for (size_t j = k; j < grads.parameters.size(); ++j) {
    const std::vector<FactoredUse>& uses = grads.parameters[j].factored;
    if (uses.size() != 1 || uses.front().direct || groups[j] != groups[k] || measured[j]) continue;
    const FactoredUse& use = uses.front();
    if (use.gradient.const_data_ptr() != own.gradient.const_data_ptr() || use.gradient.sizes() != own.gradient.sizes())
      continue;
    activations.push_back(use.activation);
    measured[j] = true;
  }
  return activations.size() == 1 ? own.activation : at::cat(activations, 1);
}

// Calls take(first, rows) for the samples in blocks of at most 64 MiB.
template <class Take>
void recompute(const RecomputedUse& use, int64_t batch, int64_t elements, const Take& take) {
  constexpr int64_t kBlockBytes = int64_t{64} << 20;
  const int64_t block = std::max<int64_t>(1, kBlockBytes / (elements * static_cast<int64_t>(sizeof(float))));
  for (int64_t first = 0; first < batch; first += block) {
    const int64_t count = std::min(block, batch - first);
    const at::Tensor rows = use.rows(first, count);
    require(rows.dim() == 2 && rows.size(0) == count && rows.size(1) == elements && rows.is_contiguous(),
            "recomputed gradients of shape ", rows.sizes(), " for ", count, " samples of ", elements);
    take(first, rows);
  }
}

}  // namespace

at::Tensor gradient_rows(const GradSamples& grads, int64_t k, int64_t elements) {
  return gradient_rows(grads, k, elements, 0, grads.batch);
}

at::Tensor gradient_rows(const GradSamples& grads, int64_t k, int64_t elements, int64_t first, int64_t count) {
  const ParameterSamples& own = grads.parameters[static_cast<size_t>(k)];
  if (own.carried)  // by the weight that it belongs to
    for (const ParameterSamples& samples : grads.parameters)
      for (const FactoredUse& use : samples.factored)
        if (use.bias == k) return by_sample(use.gradient, grads.batch).narrow(0, first, count).sum(1);
  return sum_of_rows(own, grads.batch, elements, first, count);
}

void join_uses(const Parameters& parameters, GradSamples& grads) {
  for (int64_t k = 0; k < parameters.size(); ++k) {
    ParameterSamples& samples = grads.parameters[static_cast<size_t>(k)];
    const int64_t elements = parameters.tensor(k).numel();
    join_factored(samples, grads.batch, elements);
    join_indexed(samples.indexed, grads.batch);
    join_stored(samples.stored);
    join_mixture(samples, grads.batch, elements);
  }
}

void add_squared_norms(const Exec& exec, const Parameters& parameters, const std::vector<int64_t>& groups,
                       GradSamples& grads, at::Tensor& squared) {
  require(squared.dim() == 2 && squared.size(1) == grads.batch, "squared norms are [groups, batch]");
  separate_biases(grads, groups);
  join_uses(parameters, grads);
  std::vector<bool> measured(static_cast<size_t>(parameters.size()), false);
  if (grads.beside) {  // in the backward pass
    grads.beside->wait();
    for (int64_t k = 0; k < parameters.size(); ++k) {
      if (!grads.beside->has(k)) continue;
      grads.beside->add_to(squared.select(0, groups[static_cast<size_t>(k)]), k);
      measured[static_cast<size_t>(k)] = true;
    }
  }
  for (int64_t k = 0; k < parameters.size(); ++k) {
    if (grads.beside && grads.beside->has(k)) continue;
    const VectorView<double> out = {squared.mutable_data_ptr<double>() + groups[static_cast<size_t>(k)] * grads.batch,
                                    grads.batch};
    const ParameterSamples& samples = grads.parameters[static_cast<size_t>(k)];
    const int64_t elements = parameters.tensor(k).numel();
    for (const RecomputedUse& use : samples.recomputed) {
      if (use.without_rows.add_norms) {
        use.without_rows.add_norms(out);
        continue;
      }
      recompute(use, grads.batch, elements, [&](int64_t first, const at::Tensor& rows) {
        kernels::accumulate_row_norms(exec, matrix(rows), {out.data + first, rows.size(0)});
      });
    }
    for (const at::Tensor& rows : samples.stored) add_row_norms(exec, rows, out);
    for (const FactoredUse& use : samples.factored) {
      const kernels::Segments segments = segments_of(use, grads.batch);
      if (use.length == 1)
        kernels::accumulate_outer_norms(exec, matrix(use.activation), matrix(use.gradient), use.bias >= 0, out);
      else if (use.direct || samples.factored.size() > 1)  // or of rows apart
        add_sequence_norms(exec, use.activation, use.gradient, segments, use.direct, out);
      else if (!measured[static_cast<size_t>(k)])
        add_sequence_norms(exec, joined_activation(grads, groups, static_cast<size_t>(k), measured), use.gradient,
                           segments, false, out);
    }
    for (const IndexedUse& use : samples.indexed) {
      const kernels::Segments segments = segments_of(use, grads.batch);
      kernels::accumulate_ragged_embedding_norms(exec, id_vector(use.ids), matrix(use.gradient), segments,
                                                 use.padding_index, out);
      for (const FactoredUse& head : samples.factored)
        with_rows(head.activation, [&]<class T>(const MatrixView<const T>& a) {
          kernels::accumulate_ragged_tied_cross_norms(
              exec, id_vector(use.ids), matrix(use.gradient), segments, use.padding_index, a,
              {static_cast<const T*>(head.gradient.const_data_ptr()), head.gradient.size(0), head.gradient.size(1)},
              segments_of(head, grads.batch), out);
        });
    }
  }
}

void add_squared_norms(const Exec& exec, const Parameters& parameters, GradSamples& grads, at::Tensor& squared) {
  at::Tensor one_group = squared.unsqueeze(0);
  add_squared_norms(exec, parameters, std::vector<int64_t>(static_cast<size_t>(parameters.size())), grads, one_group);
}

void add_clipped(const Exec& exec, const GradSamples& grads, const std::vector<int64_t>& groups,
                 const at::Tensor& factors, std::vector<at::Tensor>& sums) {
  for (size_t k = 0; k < grads.parameters.size(); ++k) {
    const VectorView<const float> f = {factors.const_data_ptr<float>() + groups[k] * grads.batch, grads.batch};
    const ParameterSamples& samples = grads.parameters[k];
    for (const at::Tensor& rows : samples.stored)
      with_rows(rows, [&](const auto& view) { kernels::accumulate_clipped_rows(exec, view, f, vector(sums[k])); });
    for (const RecomputedUse& use : samples.recomputed) {
      if (use.without_rows.add_clipped) {
        use.without_rows.add_clipped(f, vector(sums[k]));
        continue;
      }
      at::Tensor total = at::zeros({sums[k].numel()}, sums[k].options().dtype(at::kDouble));
      recompute(use, grads.batch, total.numel(), [&](int64_t first, const at::Tensor& rows) {
        kernels::accumulate_clipped_rows(exec, matrix(rows), {f.data + first, rows.size(0)},
                                         VectorView<double>{total.mutable_data_ptr<double>(), total.numel()});
      });
      sums[k].copy_(total.view(sums[k].sizes()).add_(sums[k]));  // rounds once
    }
    for (const FactoredUse& use : samples.factored)
      add_clipped_sequences(exec, use.gradient, use.activation, f, segments_of(use, grads.batch),
                            {sums[k].mutable_data_ptr<float>() + use.first_row * use.activation.size(1),
                             use.gradient.size(1), use.activation.size(1)},
                            use.bias < 0 ? VectorView<float>{nullptr, 0} : vector(sums[static_cast<size_t>(use.bias)]));
    for (const IndexedUse& use : samples.indexed)
      kernels::accumulate_ragged_clipped_embedding(
          exec, id_vector(use.ids), matrix(use.gradient), f, segments_of(use, grads.batch), use.padding_index,
          {sums[k].mutable_data_ptr<float>(), sums[k].numel() / use.gradient.size(1), use.gradient.size(1)});
  }
}

}  // namespace sotto

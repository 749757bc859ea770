#pragma once
#include "engine/torch.h"

namespace sotto {

// The linear layer of a mixture of experts: each row goes through the expert it was routed to,
//   y[r] = weight[e] x[r] + bias[e] with e = expert[r], or y[r] = 0 where expert[r] = -1 (dropped).
// input is [..., d], expert [...] int64 in [-1, experts), weight [experts, p, d], bias [experts, p] or undefined; the
// result [..., p]. Every expert multiplies its own rows alone: 2 · rows · p · d operations whatever the number of
// experts. For k experts a row, give it k times ([B, T·k, d]). TorchScript and Python know it as sotto::routed_linear.
// Throws invalid_argument for shapes that do not fit and for an expert that is not there.
at::Tensor routed_linear(const at::Tensor& input, const at::Tensor& expert, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias);

// The same by every expert for every row: experts times the work, but a row's bits depend on no other row's expert.
at::Tensor routed_linear_by_all(const at::Tensor& input, const at::Tensor& expert, const at::Tensor& weight,
                                const std::optional<at::Tensor>& bias);

// Rows in the order of their groups, those of one group in their own order; group -1 is left out.
struct RowsByGroup {
  at::Tensor order;   // [kept rows] int64: which row comes where
  at::Tensor starts;  // [groups + 1] int64: where each group begins
};
RowsByGroup rows_by_group(const at::Tensor& group, int64_t groups);

// Makes sotto::routed_linear known to LibTorch, so that files which use it load. Any number of times.
void define_routed_linear();

}  // namespace sotto

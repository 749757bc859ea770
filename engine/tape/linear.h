#pragma once
#include "engine/tape/parameter_view.h"

namespace sotto {

// input [..., d] times weightᵀ [d, p], plus bias [p] (undefined: none), captured where weight or bias is a parameter or
// a view of one: whole, transposed, or some of its rows. Nothing where no rule applies. Call it with capture off.
std::optional<at::Tensor> linear_rule(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias);

// The matrix product a b as at::matmul has it, where one factor is a parameter or a view of one and the other has the
// samples; nothing where no rule applies. Call it with capture off.
std::optional<at::Tensor> matmul_rule(const at::Tensor& a, const at::Tensor& b);

}  // namespace sotto

#pragma once
#include "cuda/exec.h"
#include "engine/torch.h"

namespace sotto {

// Σ_t g_t a_tᵀ of each sample, [batch, p·d], from its rows of a [batch·length, d] and g [batch·length, p], both float32
// and contiguous: what a linear layer stores, for the price of the batch's weight gradient.
at::Tensor sample_gradients(const Exec& exec, const at::Tensor& a, const at::Tensor& g, int64_t batch);

}  // namespace sotto

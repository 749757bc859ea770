#pragma once
#include "kernels/ghost_norms/gradient_tile.h"
#include "kernels/ghost_norms/gram_tile.h"

namespace sotto::kernels {

void accumulate_tensor_ghost_norms(const Exec& exec, const GhostInput& input, VectorView<double> workspace,
                                   VectorView<double> squared);
void accumulate_tensor_ghost_norms(const Exec& exec, const Bfloat16GhostInput& input, VectorView<double> workspace,
                                   VectorView<double> squared);
void accumulate_tensor_direct_norms(const Exec& exec, const GhostInput& input, VectorView<double> workspace,
                                    VectorView<double> squared);
void accumulate_tensor_direct_norms(const Exec& exec, const Bfloat16GhostInput& input, VectorView<double> workspace,
                                    VectorView<double> squared);

}  // namespace sotto::kernels

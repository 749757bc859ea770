#pragma once
#include <vector>

#include "base/random_key.h"
#include "cuda/exec.h"
#include "engine/tape/grad_samples.h"
#include "kernels/lattice/lattice.h"

namespace sotto {

// How many samples' gradients are held as rows at a time: 64 MiB of them, and at least one sample's.
int64_t samples_at_once(const Parameters& parameters);

// The samples [first, first + count) of `grads`, with each parameter's gradients stored as rows.
GradSamples stored_rows(const Parameters& parameters, const GradSamples& grads, int64_t first, int64_t count);

// sums[k] += Σ_i round(factors[groups[k]][i] · g_i / step), in int64. `grads` are stored rows. A sample of which the
// integers' squared norm over all parameters is above the lattice's bound is rounded towards zero, and where that is
// not enough, dropped: so no sample moves the sums by more, whatever norms and factors say. A sample with a NaN or an
// infinity adds exactly 0.
void add_on_lattice(const Exec& exec, const GradSamples& grads, const std::vector<int64_t>& groups,
                    const at::Tensor& factors, const kernels::Lattice& lattice, std::vector<at::Tensor>& sums);

// step · (sum + discrete Gaussian noise of the stream), in float32. The noise stays in `sum`.
at::Tensor noised_on_lattice(const Exec& exec, const StreamKey& stream, const kernels::Lattice& lattice,
                             const at::Tensor& sum);

}  // namespace sotto

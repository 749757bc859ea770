#pragma once
#include "base/random_key.h"
#include "base/view.h"
#include "cuda/exec.h"

namespace sotto::kernels {

// Gaussian noise from a stream. z_i, the stream's i-th standard normal, depends on (generator, key, nonce, i) alone: it
// is the same bits for any number of threads, any cut of the tensor, any instruction set, and on CUDA. `first`, a
// multiple of 8, is the position in the whole tensor of the view's element 0. A stream of ChaCha20 has 2^35 normals,
// one of Philox 2^33. Use each stream once: two releases from one stream reveal the difference of what they hide.
//
// Philox is not a cryptographic generator. Whoever sees some of its noise, or guesses what it was added to, can search
// for the 64 bits of its key, which are the same in every stream of a run, and subtract the rest. The privacy proof
// needs noise that nobody can predict: use Philox to measure, or on data that nobody could be harmed by.

// out[i] = stddev · z_(first + i).
void fill_gaussian(const Exec& exec, const StreamKey& stream, double stddev, VectorView<float> out, int64_t first = 0);

// out[i] = sum[i] + stddev · z_(first + i). `out` may be `sum`. A NaN in the sum stays a NaN.
void add_gaussian(const Exec& exec, const StreamKey& stream, double stddev, VectorView<const float> sum,
                  VectorView<float> out, int64_t first = 0);

}  // namespace sotto::kernels

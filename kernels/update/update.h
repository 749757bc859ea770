#pragma once
#include "base/random_key.h"
#include "base/view.h"
#include "cuda/exec.h"

namespace sotto::kernels {

struct SgdSettings {
  double learning_rate;
  double momentum = 0;
  double weight_decay = 0;
};

struct AdamSettings {
  double learning_rate;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  // AdamW
  int64_t step = 1;        // of this update, counted from 1
};

// One optimizer step on the noised mean g = (sum + noise_stddev · z) / divisor, in one pass. z, the stream's normals
// (kernels/noise/noise.h) from `first` on, stays in registers or the first-level cache. The same bits for any number of
// threads and any cut of the tensor at multiples of 8, on any instruction set, and on CUDA. A NaN in the sum reaches
// the parameter.

// As torch.optim.SGD without dampening: g += λ w;  v = μ v + g;  w -= lr · v. `momentum` is v; it may be empty when μ
// is 0.
void noisy_sgd(const Exec& exec, const StreamKey& stream, double noise_stddev, double divisor,
               const SgdSettings& settings, VectorView<const float> sum, VectorView<float> momentum,
               VectorView<float> parameter, int64_t first = 0);

// As torch.optim.Adam (g += λ w) or, decoupled, AdamW (w *= 1 - lr · λ):
// m += (1 - β1)(g - m);  v = β2 v + (1 - β2) g²;  w -= lr / (1 - β1^step) · m / (sqrt(v / (1 - β2^step)) + ε).
void noisy_adam(const Exec& exec, const StreamKey& stream, double noise_stddev, double divisor,
                const AdamSettings& settings, VectorView<const float> sum, VectorView<float> first_moment,
                VectorView<float> second_moment, VectorView<float> parameter, int64_t first = 0);

// LAMB (You et al. 2020, algorithm 2, φ the identity), for one tensor: with Adam's m and v,
// r = m / (1 - β1^step) / (sqrt(v / (1 - β2^step)) + ε) + λ w;  w -= lr · ‖w‖ / ‖r‖ · r, or lr · r where a norm is 0.
// `decoupled` is not read. Two passes; the norms' parts go to `workspace`, of lamb_workspace(size) doubles. The same
// bits for any number of threads; on CUDA the norms are summed in another order.
int64_t lamb_workspace(int64_t size);
void noisy_lamb(const Exec& exec, const StreamKey& stream, double noise_stddev, double divisor,
                const AdamSettings& settings, VectorView<const float> sum, VectorView<float> first_moment,
                VectorView<float> second_moment, VectorView<float> parameter, VectorView<double> workspace,
                int64_t first = 0);

// The same without noise and so without privacy: the baseline's optimizers.
void plain_sgd(const Exec& exec, double divisor, const SgdSettings& settings, VectorView<const float> sum,
               VectorView<float> momentum, VectorView<float> parameter);
void plain_adam(const Exec& exec, double divisor, const AdamSettings& settings, VectorView<const float> sum,
                VectorView<float> first_moment, VectorView<float> second_moment, VectorView<float> parameter);
void plain_lamb(const Exec& exec, double divisor, const AdamSettings& settings, VectorView<const float> sum,
                VectorView<float> first_moment, VectorView<float> second_moment, VectorView<float> parameter,
                VectorView<double> workspace);

}  // namespace sotto::kernels

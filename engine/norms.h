#pragma once
#include <filesystem>

#include "engine/tape/explain.h"

namespace sotto {

enum class NormLoss { cross_entropy, mse };

struct NormsOptions {
  NormLoss loss = NormLoss::cross_entropy;
  int64_t microbatch = 0;  // samples a pass; 0: chosen by the rows that a sample brings to a layer
  int threads = 1;
  int64_t probes = 0;  // > 0: also estimates from that many random vectors, all products kept as factors
  at::ScalarType product_type = at::kFloat;  // of matrix products' operands, as the tape's
};

struct SampleNorms {
  std::vector<double> norms;         // of each sample: an upper bound of its gradient's L2 norm, or not finite
  std::vector<double> estimates;     // where asked for, of the same norms: neither bounds nor exact
  std::vector<ParameterRule> rules;  // of a pass of `microbatch` samples
  int64_t parameter_elements = 0, microbatch = 0;
};

// The loss of each sample, [batch] from the model's output and `y`: the mean over whatever follows the batch dimension.
//  - cross_entropy: integer labels, y has the output's shape without its class dimension. That is the last one
//    ([B, C] and [B], [B, T, C] and [B, T]), or, where only that fits, dimension 1 ([B, C, d1…] and [B, d1…]).
//  - mse: (output − y)², y of the output's shape, or [B] for an output [B, 1].
// Throws data for other shapes and for labels outside [0, C).
at::Tensor sample_losses(NormLoss loss, const at::Tensor& output, const at::Tensor& y);

// The norm of every sample's gradient as clipping sees it: what sotto's kernels make of the TorchScript model `script`
// on the tensors x and y of the safetensors file `inputs`, whose dimension 0 is the batch, over all parameters. The
// model is used in the mode in which it was saved. The checks of check_model come first, on random inputs of x's shape
// and kind: floats from the standard normal, ids below the smallest embedding table; never a value of x. Throws
// configuration, with the parameter's name, for a model that mixes samples or hides a use, data for other tensors.
SampleNorms sample_norms(const std::filesystem::path& script, const std::filesystem::path& inputs,
                         const NormsOptions& options);

}  // namespace sotto

#pragma once
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <functional>
#include <string>
#include <vector>

#include "engine/tape/parameters.h"

namespace sotto {

// An ordinary LibTorch module whose forward pass is written where it is used.
struct Net : torch::nn::Module {
  std::function<at::Tensor(const at::Tensor&)> body;

  template <class Layer>
  Layer add(const std::string& name, Layer layer) {
    return register_module(name, layer);
  }
  at::Tensor own(const std::string& name, const at::Tensor& value) { return register_parameter(name, value); }
};

// A model as the tests see it.
struct Subject {
  std::function<std::vector<std::pair<std::string, at::Tensor>>()> named;
  std::function<at::Tensor(const at::Tensor&)> forward;
  std::function<void()> to_double;
};
using Factory = std::function<Subject()>;

// `build` adds layers to the net and returns its forward pass.
Factory eager(std::function<std::function<at::Tensor(const at::Tensor&)>(Net&)> build);
// TorchScript: float parameters by name and the forward method's source.
struct ScriptParameter {
  std::string name;
  std::vector<int64_t> shape;
  bool trainable = true;
};
Factory scripted(const std::vector<ScriptParameter>& parameters, const std::string& source);

struct Case {
  std::string name;
  Factory make;
  std::function<at::Tensor(int64_t batch)> input;
};

std::function<at::Tensor(int64_t)> features(std::vector<int64_t> shape);                     // [batch, shape…]
std::function<at::Tensor(int64_t)> tokens(int64_t length, int64_t vocabulary);               // [batch, length]

// A smooth loss of each sample: every output matters, with its own weight. [batch]
at::Tensor wavy_loss(const at::Tensor& output);

std::vector<Case> linear_cases();
std::vector<Case> embedding_cases();
std::vector<Case> norm_cases();
std::vector<Case> script_cases();
std::vector<Case> elementwise_cases();
std::vector<Case> matmul_cases();
std::vector<Case> group_norm_cases();
std::vector<Case> embedding_bag_cases();
Case gpt2_block();    // its layers merge the batch with the positions
Case grouped_bags();  // several bags a sample
std::vector<Case> recurrent_cases();
std::vector<Case> convolution_cases();
std::vector<Case> model_cases();

}  // namespace sotto

#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random_key.h"
#include "base/settings.h"
#include "engine/torch.h"

namespace sotto {

// What goes into a model: float features [batch, columns], or int64 tokens [batch, columns] below `vocabulary`.
struct InputSpec {
  int64_t columns = 0;
  int64_t vocabulary = 0;  // 0: float features
  bool tokens() const { return vocabulary > 0; }
};

// How a model is made: from `kind` and its sizes, or from a TorchScript file.
struct ModelSpec {
  std::string kind = "mlp";     // mlp (hidden = [] is logistic regression), torchscript
  std::vector<int64_t> hidden;  // mlp
  int64_t outputs = 1;          // logits
  double output_bias = 0;       // mlp: where the last bias starts; a guess of the log-odds that no record was asked for
  std::filesystem::path script;  // torchscript
};

// A model as the engine sees it: something to call and its named parameters. The module inside is unmodified.
class Model {
 public:
  // Initialises a built-in kind from the stream (initialisation, 0) alone, the last layer at 0 weights and output_bias,
  // so that training starts from the guess and not from noise; a TorchScript file keeps its values. Throws
  // configuration for an unknown kind and io or data for an unreadable or value-dependent script.
  static Model make(const ModelSpec& spec, const InputSpec& input, const RunKey& key);
  // Any module of LibTorch's.
  static Model wrap(std::shared_ptr<torch::nn::Module> module, std::function<at::Tensor(const at::Tensor&)> forward);

  at::Tensor forward(const at::Tensor& input) const { return forward_(input); }
  const std::vector<std::pair<std::string, at::Tensor>>& named_parameters() const { return parameters_; }
  // Copies values by name; throws data when a name is missing or a shape differs.
  void load_parameters(const std::map<std::string, at::Tensor>& values);
  void train(bool on) const { train_(on); }
  // Moves parameters and buffers; the tensors of named_parameters() stay the ones they are.
  void to(const at::Device& device) const { move_(device); }
  at::Device device() const { return parameters_.front().second.device(); }
  // Saves a TorchScript file that Python loads with torch.jit.load, on the CPU whatever device the model is on.
  void export_torchscript(const std::filesystem::path& path) const;

 private:
  std::function<at::Tensor(const at::Tensor&)> forward_;
  std::function<void(bool)> train_;
  std::function<void(const at::Device&)> move_;
  std::vector<std::pair<std::string, at::Tensor>> parameters_;
  std::shared_ptr<torch::jit::Module> script_;  // set for TorchScript
  bool mlp_ = false;
};

// A synthetic input of a given batch size for checks: never training data.
at::Tensor synthetic_input(const InputSpec& input, int64_t batch, uint64_t seed);

}  // namespace sotto

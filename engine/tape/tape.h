#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/tape/grad_samples.h"
#include "engine/tape/norm_method.h"

namespace sotto {

// Where a captured operator's input has its samples: in a dimension of their own, or merged with the positions into
// dimension 0, either a sample's rows together or (`position_first`) a position's.
struct BatchLayout {
  int64_t dimension = 0;
  bool merged = false, position_first = false;
  // Of merged rows: how many each sample must have, so that a model that drops rows by value (padding) is never taken
  // for one whose samples have fewer. 0: any.
  int64_t positions = 0;
  bool operator==(const BatchLayout&) const = default;
};

// `x`, an operator's input or output, by sample: [batch, …] with whatever positions it has behind. A view.
at::Tensor by_sample(const at::Tensor& x, const BatchLayout& layout, int64_t batch);

// What one call of one captured operator used, as seen by the checks.
struct RecordedUse {
  int64_t parameter;
  std::string operation;  // "linear", "embedding", "layer_norm"
  std::vector<int64_t> shape;
  at::Tensor input;  // kept by Tape::observe alone
};

// What a forward pass shows.
struct Observed {
  std::vector<RecordedUse> uses;    // in forward order, with their inputs
  bool shapes_from_values = false;  // a tensor had as many rows as values said: no layout says whose they are
};

// Captures uses of the owned parameters at LibTorch's dispatcher while a forward pass runs, and turns one backward pass
// into per-sample gradients. The model is not wrapped and not rewritten: eager C++ modules and TorchScript both pass
// through the dispatcher. The batch is dimension 0 of every captured operator's input unless set_layouts says
// otherwise.
class Tape {
 public:
  Tape(const Exec& exec, const Parameters& parameters);
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // Runs `losses` (forward pass and loss vector, one entry a sample) with capture on, then one backward pass. No
  // gradient summed over samples is ever formed. Throws configuration, naming the parameter, when
  //  - a parameter is used in a way no rule covers (AccumulateGrad reachable in the loss graph),
  //  - the input of a captured operator does not have `batch` samples where its layout says,
  //  - the loss is not a vector of `batch` entries.
  GradSamples per_sample(int64_t batch, const std::function<at::Tensor()>& losses);

  // The same where `losses(first, count)` is the loss vector of `count` samples: with uncaptured parameters there is a
  // pass for each sample, and every gradient is stored.
  GradSamples per_sample(int64_t batch, const std::function<at::Tensor(int64_t first, int64_t count)>& losses);

  // Runs the forward pass alone, whatever the layouts of its uses.
  Observed observe(int64_t batch, const std::function<at::Tensor()>& losses);

  // Where each use has its samples, in forward order, as check_structure found out; empty: always dimension 0.
  void set_layouts(std::vector<BatchLayout> layouts) { layouts_ = std::move(layouts); }

  // Embeddings, by their number among a forward pass's, whose ids are the same for every sample (position ids), with
  // those ids, int64 on the CPU. A call gives its rows without a batch, and what meets the samples next takes them: as
  // a view of the table where they are a run of rows, else by these ids, and no others.
  void set_shared_embeddings(std::map<int64_t, at::Tensor> ids) { shared_embeddings_ = std::move(ids); }

  // Parameters whose uses no rule takes: their gradients come from a pass for each sample alone, which is slow.
  void set_uncaptured(std::set<int64_t> parameters) { uncaptured_ = std::move(parameters); }
  const std::set<int64_t>& uncaptured() const { return uncaptured_; }

  // For a check that compares samples bit for bit: rows that values put into groups are multiplied as if each were in
  // all of them, since a product of more rows may round a row another way.
  void set_comparing(bool comparing) { comparing_ = comparing; }

  // Norms are measured while the backward pass goes on, on `beside`, which may be the tape's own Exec. Without it they
  // are measured behind the pass. Not for batches whose gradients are summed by unit.
  void set_beside(const std::optional<Exec>& beside) { beside_ = beside; }

  // kFloat, or kBFloat16: then a forward pass runs under LibTorch's autocast, the products of linear layers, matmuls
  // and convolutions are of operands rounded to bfloat16 and are added in floats, and a weight's per-sample gradient is
  // by definition Σ_t g_t a_tᵀ of those rounded rows, of which norms and clipped sums are made. All other rules compute
  // in floats. Throws invalid_argument for another type.
  void set_product_type(at::ScalarType type);
  at::ScalarType product_type() const { return product_type_; }

  // Memory the tape may spend on stored per-sample gradients, in bytes; beyond it, factors are kept instead.
  void set_storage_limit(int64_t bytes) { storage_limit_ = bytes; }
  int64_t storage_limit() const { return storage_limit_; }
  // How single parameters get their norms, as a planner chose; what is planned to be stored and does not fit is not.
  void set_norm_methods(NormMethods methods) { norm_methods_ = std::move(methods); }
  // The products that the last call had a choice for, in the order of the backward pass.
  const std::vector<ProductShape>& products() const { return products_; }
  // The uses that the last call recorded, in forward order.
  const std::vector<RecordedUse>& uses() const { return uses_; }

  // For the rules (engine/tape/*.cpp).
  struct Recorder;

 private:
  at::Tensor forward(Recorder& recorder, const std::function<at::Tensor()>& losses);
  GradSamples one_pass(int64_t batch, const std::function<at::Tensor()>& losses);

  Exec exec_;
  std::optional<Exec> beside_;
  const Parameters& parameters_;
  int64_t storage_limit_ = int64_t{1} << 30;
  bool comparing_ = false;
  at::ScalarType product_type_ = at::kFloat;
  std::vector<BatchLayout> layouts_;
  std::set<int64_t> uncaptured_;
  std::map<int64_t, at::Tensor> shared_embeddings_;
  NormMethods norm_methods_;
  std::vector<ProductShape> products_;
  std::vector<RecordedUse> uses_;
};

}  // namespace sotto

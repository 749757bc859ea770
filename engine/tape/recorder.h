#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/error.h"
#include "engine/tape/tape.h"

namespace sotto {

// Rows of a table that ids which all samples share have gathered: they stand for the table until they meet the samples.
struct SharedRows {
  at::Tensor rows, ids;  // [ids…, columns], [ids] in int64
  int64_t table, padding_index;
  int64_t version;  // what is written to them after is no longer the table's
};

// The state of one Tape::per_sample call, shared with the autograd nodes it leaves in the graph.
struct Tape::Recorder {
  const Parameters& parameters;
  Exec exec;
  int64_t batch;
  int64_t storage_left;  // bytes for stored per-sample gradients
  const std::vector<BatchLayout>& layouts;
  const std::set<int64_t>& uncaptured;  // parameters that no rule may take
  const NormMethods& norm_methods;      // as planned
  const std::map<int64_t, at::Tensor>& shared_embeddings;
  bool observing;               // no backward pass follows, so any layout will do
  bool comparing;               // samples are compared bit for bit
  at::ScalarType product_type;  // of the operands of matrix products
  // A scalar 0 that requires a gradient, so that a layer on raw data is reached by the backward pass.
  at::Tensor anchor = at::zeros({}).set_requires_grad(true);
  GradSamples grads = {};
  std::vector<int64_t> uses = {};  // of each parameter, counted in the forward pass
  int64_t embeddings = 0;          // calls so far
  std::vector<SharedRows> shared_rows = {};
  bool shapes_from_values = false;  // a tensor had as many rows as values said (nonzero, a mask as an index)
  bool in_backward = false;
  std::vector<RecordedUse> recorded = {};
  std::vector<ProductShape> products = {};  // those that `choose` was asked for
  std::optional<Error> refusal = std::nullopt;

  // The index of the parameter that `tensor` is, or -1: not one, or one that no rule may take.
  int64_t find(const at::Tensor& tensor) const;
  // Counts a use and checks that `input` has the samples where the use's layout says, which is returned. `operation`
  // and the parameter's name go into the message.
  BatchLayout record_use(int64_t parameter, const char* operation, const at::Tensor& input);
  at::Tensor by_sample(const at::Tensor& x, const BatchLayout& layout) const {
    return sotto::by_sample(x, layout, batch);
  }
  // An operand of a product, rounded where products are of bfloat16; a gradient passes through the cast.
  at::Tensor factor(const at::Tensor& x) const;
  // The same of a weight or a bias (undefined: none) for a rule that takes its gradient: nothing passes through.
  at::Tensor constant_factor(const at::Tensor& x) const;
  // The method for a product, by the plan or by its shape; room for what is to be stored is taken.
  NormMethod choose(const ProductShape& product);
  // Throws configuration, and remembers it: TorchScript's interpreter replaces an error that passes through it.
  [[noreturn]] void refuse(const std::string& message, std::source_location place = std::source_location::current());
  // Adds the per-sample gradients [batch, elements] of `parameter`.
  void store(int64_t parameter, at::Tensor rows);
  // Tells that all gradients of `parameter`'s only use have been handed over: its norms may be measured.
  void measure_beside(int64_t parameter);
  ParameterSamples& samples(int64_t parameter) { return grads.parameters[static_cast<size_t>(parameter)]; }
};

using RecorderPointer = std::shared_ptr<Tape::Recorder>;

// The recorder of the Tape::per_sample call that is running on this thread, or null.
RecorderPointer current_recorder();

// Runs the rest of the scope without capture: what a rule does inside must not be captured again.
using CaptureOff = c10::impl::ExcludeDispatchKeyGuard;
// Above autocast's keys: a rule sees the parameter itself, and not a cast of it.
constexpr c10::DispatchKey kCaptureKey = c10::DispatchKey::TESTING_ONLY_GenericMode;
static_assert(kCaptureKey > c10::DispatchKey::AutocastCPU && kCaptureKey > c10::DispatchKey::AutocastCUDA);

// Runs the rest of the scope without autocast: for a rule that has no other way than floats, with its inputs by
// in_float.
struct AutocastOff : c10::impl::ExcludeDispatchKeyGuard {
  AutocastOff() : ExcludeDispatchKeyGuard(c10::autocast_dispatch_keyset) {}
};
// What a product under autocast has made, in floats again; anything else as it is.
inline at::Tensor in_float(const at::Tensor& x) {
  return x.defined() && x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x;
}

// Hands a rule's data from its forward to its backward.
template <class Use>
struct Carried : torch::CustomClassHolder {
  explicit Carried(std::shared_ptr<Use> u) : use(std::move(u)) {}
  std::shared_ptr<Use> use;
};
template <class Use>
void carry(torch::autograd::AutogradContext* context, std::shared_ptr<Use> use) {
  context->saved_data["use"] = c10::IValue::make_capsule(c10::make_intrusive<Carried<Use>>(std::move(use)));
}
template <class Use>
const Use& carried(torch::autograd::AutogradContext* context) {
  return *static_cast<Carried<Use>*>(context->saved_data["use"].toCapsule().get())->use;
}

// Makes ops dispatch to the rules when capture is on. Called once; explicit, because a registration by static
// constructor vanishes from a static library.
void register_linear_rule(torch::Library& library);
void register_matmul_rules(torch::Library& library);
void register_elementwise_rules(torch::Library& library);
void register_expand_rules(torch::Library& library);
void register_embedding_rule(torch::Library& library);
void register_embedding_bag_rule(torch::Library& library);
void register_layer_norm_rule(torch::Library& library);
void register_group_norm_rules(torch::Library& library);
void register_convolution_rule(torch::Library& library);
void register_recurrent_rule(torch::Library& library);
void register_recurrent_cell_rule(torch::Library& library);
void register_value_shapes(torch::Library& library);
void register_refusals(torch::Library& library);
void register_routed_linear_rule(torch::Library& library);  // of the library sotto

}  // namespace sotto

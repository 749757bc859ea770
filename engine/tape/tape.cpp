#include "engine/tape/tape.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>

#include "base/error.h"
#include "engine/autocast.h"
#include "engine/models/routed_linear.h"
#include "engine/tape/loss_graph.h"
#include "engine/tape/norms_beside.h"
#include "engine/tape/recorder.h"

namespace sotto {
namespace {

thread_local RecorderPointer g_recorder;

// Keeps the registrations alive for the life of the program: the dispatcher may be gone before a static would be
// destroyed. `used`, or the optimiser drops the pointer, and they count as leaked. Every operator that no rule captures
// falls through.
void register_rules_once() {
  [[gnu::used]] static auto* libraries = [] {
    auto* made = new std::vector<torch::Library>();
    made->emplace_back(torch::Library::IMPL, "_", kCaptureKey, __FILE__, __LINE__);
    made->back().fallback(torch::CppFunction::makeFallthrough());
    made->emplace_back(torch::Library::IMPL, "aten", kCaptureKey, __FILE__, __LINE__);
    register_linear_rule(made->back());
    register_matmul_rules(made->back());
    register_elementwise_rules(made->back());
    register_expand_rules(made->back());
    register_embedding_rule(made->back());
    register_embedding_bag_rule(made->back());
    register_layer_norm_rule(made->back());
    register_group_norm_rules(made->back());
    register_convolution_rule(made->back());
    register_recurrent_rule(made->back());
    register_value_shapes(made->back());
    register_refusals(made->back());
    define_routed_linear();
    made->emplace_back(torch::Library::IMPL, "sotto", kCaptureKey, __FILE__, __LINE__);
    register_routed_linear_rule(made->back());
    return made;
  }();
}

class CaptureScope {
 public:
  explicit CaptureScope(RecorderPointer recorder) : include_(kCaptureKey) { g_recorder = std::move(recorder); }
  ~CaptureScope() { g_recorder.reset(); }
  CaptureScope(const CaptureScope&) = delete;
  CaptureScope& operator=(const CaptureScope&) = delete;

 private:
  c10::impl::IncludeDispatchKeyGuard include_;
  // What the graph executor fuses or differentiates by itself would not pass through the dispatcher one operator a
  // time.
  torch::jit::GraphOptimizerEnabledGuard plain_interpreter_{false};
  at::AutoGradMode with_gradients_{true};
};

// What is reached and was not meant to be was used outside the rules and would leave unclipped.
void refuse_uncovered(const at::Tensor& losses, const Parameters& parameters, const std::set<int64_t>& uncaptured) {
  for (const int64_t index : parameters_reached(losses, parameters))
    if (!uncaptured.contains(index))
      throw Error(ErrorKind::configuration,
                  cat("parameter ", parameters.name(index),
                      " is used where no rule takes it (a cast, a function of it alone, weight or spectral "
                      "normalisation, a product with another parameter), so its gradient cannot be clipped per "
                      "sample; pass it to a layer or an operator that has the samples too, or freeze it with "
                      "requires_grad_(false)"));
}

}  // namespace

at::Tensor by_sample(const at::Tensor& x, const BatchLayout& layout, int64_t batch) {
  if (!layout.merged) return layout.dimension == 0 ? x : x.movedim(layout.dimension, 0);
  return layout.position_first ? x.unflatten(0, {-1, batch}).transpose(0, 1) : x.unflatten(0, {batch, -1});
}

RecorderPointer current_recorder() {
  return g_recorder;
}

BatchLayout Tape::Recorder::record_use(int64_t parameter, const char* operation, const at::Tensor& input) {
  const size_t number = recorded.size();
  if (number >= layouts.size() && !layouts.empty())
    refuse(cat("parameter ", parameters.name(parameter), ": its ", operation, " is use ", number + 1,
               " of a forward pass that had ", layouts.size(),
               " when it was checked; a model must use its layers in the same order for every batch"));
  const BatchLayout layout = layouts.empty() ? BatchLayout{} : layouts[number];
  const bool rows_fit = layout.merged && input.dim() > 0 &&
                        (layout.positions > 0 ? input.size(0) == batch * layout.positions : input.size(0) % batch == 0);
  const bool fits = layout.merged ? rows_fit : input.dim() > layout.dimension && input.size(layout.dimension) == batch;
  if (!fits && !observing)
    refuse(cat("parameter ", parameters.name(parameter), ": the input of its ", operation, " has shape ", input.sizes(),
               ", but dimension ", layout.dimension, " must ",
               layout.positions > 0 ? cat("hold ", layout.positions, " rows for each of ", batch, " samples")
                                    : cat(layout.merged ? "hold" : "be", " the batch of ", batch),
               "; give each sample its own rows (expand shared ids to the batch), so that its gradient can be told "
               "apart"));
  ++uses[static_cast<size_t>(parameter)];
  recorded.push_back({parameter, operation, input.sizes().vec(), observing ? input.detach() : at::Tensor()});
  return layout;
}

int64_t Tape::Recorder::find(const at::Tensor& tensor) const {
  const int64_t index = parameters.find(tensor);
  return uncaptured.contains(index) ? -1 : index;
}

at::Tensor Tape::Recorder::factor(const at::Tensor& x) const {
  return product_type == at::kFloat || !x.defined() ? x : x.to(product_type);
}

at::Tensor Tape::Recorder::constant_factor(const at::Tensor& x) const {
  const at::NoGradGuard no_grad;
  return factor(x);
}

void Tape::Recorder::refuse(const std::string& message, std::source_location place) {
  refusal.emplace(ErrorKind::configuration, message, place);
  throw *refusal;
}

NormMethod Tape::Recorder::choose(const ProductShape& product) {
  products.push_back(product);
  const auto planned = norm_methods.find(product.parameter);
  const std::vector<NormMethod> possible = product.methods();
  const bool by_plan = planned != norm_methods.end() &&
                       std::ranges::find(possible, planned->second) != possible.end() &&
                       (!is_stored(planned->second) || product.kept_bytes(planned->second, batch) <= storage_left);
  const NormMethod method = by_plan ? planned->second : method_by_shape(product, batch, storage_left);
  if (is_stored(method)) storage_left -= product.kept_bytes(method, batch);
  return method;
}

void Tape::Recorder::store(int64_t parameter, at::Tensor rows) {
  samples(parameter).stored.push_back(std::move(rows));
}

void Tape::Recorder::measure_beside(int64_t parameter) {
  if (grads.beside && uses[static_cast<size_t>(parameter)] == 1) grads.beside->measure(parameter, samples(parameter));
}

Tape::Tape(const Exec& exec, const Parameters& parameters) : exec_(exec), parameters_(parameters) {
  register_rules_once();
}

Tape::~Tape() = default;

void Tape::set_product_type(at::ScalarType type) {
  require(type == at::kFloat || type == at::kBFloat16, "products are of float or bfloat16, not ", type);
  product_type_ = type;
}

GradSamples Tape::per_sample(int64_t batch, const std::function<at::Tensor()>& losses) {
  require(uncaptured_.empty(), "uncaptured parameters need a loss of any range of samples");
  return one_pass(batch, losses);
}

GradSamples Tape::per_sample(int64_t batch, const std::function<at::Tensor(int64_t first, int64_t count)>& losses) {
  if (uncaptured_.empty()) return one_pass(batch, [&] { return losses(0, batch); });
  GradSamples all;
  all.batch = batch;
  all.parameters.resize(static_cast<size_t>(parameters_.size()));
  for (int64_t k = 0; k < parameters_.size(); ++k)
    all.parameters[static_cast<size_t>(k)].stored.push_back(
        at::empty({batch, parameters_.tensor(k).numel()}, parameters_.tensor(k).options().requires_grad(false)));
  std::vector<at::Tensor> losses_of_one;
  for (int64_t sample = 0; sample < batch; ++sample) {
    const GradSamples one = one_pass(1, [&] { return losses(sample, 1); });
    for (int64_t k = 0; k < parameters_.size(); ++k)
      all.parameters[static_cast<size_t>(k)].stored[0].select(0, sample).copy_(
          gradient_rows(one, k, parameters_.tensor(k).numel()).select(0, 0));
    losses_of_one.push_back(one.losses);
  }
  all.losses = at::cat(losses_of_one);
  return all;
}

Observed Tape::observe(int64_t batch, const std::function<at::Tensor()>& losses) {
  const auto recorder =
      std::make_shared<Recorder>(Recorder{parameters_, exec_, batch, storage_limit_, layouts_, uncaptured_,
                                          norm_methods_, shared_embeddings_, true, true, product_type_});
  const CaptureScope scope(recorder);
  forward(*recorder, losses);
  return {std::move(recorder->recorded), recorder->shapes_from_values};
}

at::Tensor Tape::forward(Recorder& recorder, const std::function<at::Tensor()>& losses) {
  recorder.grads.batch = recorder.batch;
  recorder.grads.parameters.resize(static_cast<size_t>(parameters_.size()));
  recorder.uses.assign(static_cast<size_t>(parameters_.size()), 0);
  std::vector<uint32_t> versions;
  for (int64_t k = 0; k < parameters_.size(); ++k) versions.push_back(parameters_.tensor(k)._version());
  at::Tensor loss;
  try {
    // Without autocast's cache: under a caller's autocast, the cast of a weight would outlive the weight's update.
    const Autocast autocast(parameters_.tensor(0).device().type(), recorder.product_type);
    loss = losses();
  } catch (...) {
    if (recorder.refusal) throw *recorder.refusal;
    throw;
  }
  for (int64_t k = 0; k < parameters_.size(); ++k)
    if (parameters_.tensor(k)._version() != versions[static_cast<size_t>(k)])
      throw Error(ErrorKind::configuration,
                  cat("parameter ", parameters_.name(k),
                      " is written to by the forward pass (an embedding's max_norm, a clamp), "
                      "so that the batch would show in it without noise; turn that off"));
  return loss;
}

GradSamples Tape::one_pass(int64_t batch, const std::function<at::Tensor()>& losses) {
  require(batch > 0, "a tape pass needs at least one sample, got ", batch);
  require(!g_recorder, "a tape pass is already running on this thread");
  const auto recorder =
      std::make_shared<Recorder>(Recorder{parameters_, exec_, batch, storage_limit_, layouts_, uncaptured_,
                                          norm_methods_, shared_embeddings_, false, comparing_, product_type_});
  if (beside_)
    recorder->grads.beside =
        std::make_shared<NormsBeside>(exec_, *beside_, parameters_.size(), batch, parameters_.tensor(0).options());
  const CaptureScope scope(recorder);
  const at::Tensor loss = forward(*recorder, losses);
  check_losses(loss, batch);
  uses_ = recorder->recorded;
  products_.clear();
  if (!loss.requires_grad())
    throw Error(ErrorKind::configuration, "the loss does not depend on any trainable parameter");
  refuse_uncovered(loss, parameters_, uncaptured_);
  recorder->grads.losses = loss.detach().to(at::kDouble);  // where it is: the host goes on
  for (const int64_t k : uncaptured_) parameters_.tensor(k).mutable_grad() = at::Tensor();
  recorder->in_backward = true;
  torch::autograd::backward({loss}, {at::ones_like(loss)});
  for (const int64_t k : uncaptured_) {
    at::Tensor& gradient = parameters_.tensor(k).mutable_grad();
    if (gradient.defined()) recorder->store(k, gradient.reshape({1, -1}).contiguous());
    gradient = at::Tensor();
  }
  products_ = std::move(recorder->products);
  return std::move(recorder->grads);
}

}  // namespace sotto

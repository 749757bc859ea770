#include "engine/norms.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "base/error.h"
#include "engine/model.h"
#include "engine/safetensors.h"
#include "engine/tape/coverage.h"
#include "engine/tape/estimated_norms.h"
#include "engine/tape/microbatch.h"

namespace sotto {
namespace {

bool is_integer(const at::Tensor& tensor) {
  return c10::isIntegralType(tensor.scalar_type(), /*includeBool=*/false);
}

std::vector<int64_t> without(at::IntArrayRef shape, size_t dimension) {
  std::vector<int64_t> rest = shape.vec();
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(dimension));
  return rest;
}

// The dimension of the classes, or -1.
int64_t class_dimension(const at::Tensor& output, at::IntArrayRef labels) {
  if (output.dim() < 2) return -1;
  for (const int64_t candidate : {output.dim() - 1, int64_t{1}})
    if (labels == at::IntArrayRef(without(output.sizes(), static_cast<size_t>(candidate)))) return candidate;
  return -1;
}

at::Tensor cross_entropy(const at::Tensor& output, const at::Tensor& y) {
  const int64_t dimension = is_integer(y) ? class_dimension(output, y.sizes()) : -1;
  if (dimension < 0)
    throw Error(ErrorKind::data, cat("cross_entropy needs integer labels y of the output's shape without its classes; "
                                     "the output is ",
                                     output.sizes(), ", y is ", y.scalar_type(), " ", y.sizes()));
  const at::Tensor labels = y.to(at::kLong).flatten();
  const int64_t classes = output.size(dimension);
  if (labels.numel() > 0 && (labels.min().item<int64_t>() < 0 || labels.max().item<int64_t>() >= classes))
    throw Error(ErrorKind::data, cat("y has labels outside 0 … ", classes - 1, ", the ", classes,
                                     " classes of the model's output; drop such positions or give them a class"));
  const at::Tensor losses =
      at::cross_entropy_loss(output.movedim(dimension, -1).reshape({-1, classes}), labels, {}, at::Reduction::None);
  return losses.view({y.size(0), -1}).mean(1);
}

at::Tensor squared_error(const at::Tensor& output, const at::Tensor& y) {
  const bool column = output.dim() == 2 && output.size(1) == 1 && y.dim() == 1 && y.size(0) == output.size(0);
  if (output.dim() < 1 || (output.sizes() != y.sizes() && !column))
    throw Error(ErrorKind::data,
                cat("mse needs y of the output's shape: the output is ", output.sizes(), ", y is ", y.sizes()));
  const at::Tensor wanted = y.to(output.scalar_type()).view(output.sizes());
  return (output - wanted).square().flatten(1).mean(1);
}

at::Tensor tensor_of(const TensorFile& file, const std::string& name, const std::filesystem::path& path) {
  const auto hit = file.tensors.find(name);
  if (hit == file.tensors.end())
    throw Error(ErrorKind::data, cat(path.string(), " has no tensor ", name, "; it needs x, the model's input, and y"));
  if (hit->second.dim() < 1 || hit->second.size(0) < 1)
    throw Error(ErrorKind::data, cat(path.string(), ": tensor ", name, " has shape ", hit->second.sizes(),
                                     "; dimension 0 must be the batch, of at least one sample"));
  return hit->second;
}

// What the model computes in: the parameters are float32, ids int64.
at::Tensor as_input(const at::Tensor& x) {
  if (x.is_floating_point()) return x.to(at::kFloat);
  return is_integer(x) ? x.to(at::kLong) : x;
}

// Random inputs of `like`'s shape and kind, without a value of it.
struct Inputs {
  std::vector<int64_t> sample_shape;
  at::ScalarType type;
  int64_t vocabulary = 1;

  at::Tensor operator()(int64_t batch, uint64_t seed) const {
    std::vector<int64_t> shape = sample_shape;
    shape.insert(shape.begin(), batch);
    at::Generator generator = at::detail::createCPUGenerator(seed);
    if (type == at::kFloat) return at::randn(shape, generator);
    if (type == at::kBool) return at::randint(2, shape, generator, at::kLong).to(at::kBool);
    return at::randint(vocabulary, shape, generator, at::kLong);
  }
};

// Ids that every embedding of the model has: below the rows of its smallest table. Ids of 0 find the tables.
int64_t smallest_table(Tape& tape, const Parameters& parameters, const Probe& probe) {
  const at::Tensor input = probe.input(2, 7);
  int64_t rows = 0;
  for (const RecordedUse& use : tape.observe(2, [&] { return probe.losses(input); }).uses)
    if (use.operation.starts_with("embedding")) {
      const int64_t own = parameters.tensor(use.parameter).size(0);
      rows = rows == 0 ? own : std::min(rows, own);
    }
  return rows == 0 ? 2 : rows;  // a frozen table is not seen; 0 and 1 are ids of any that is worth one
}

// Labels that depend on nothing but the sizes.
at::Tensor synthetic_losses(NormLoss loss, const at::Tensor& output, const at::Tensor& y) {
  std::vector<int64_t> shape = y.sizes().vec();
  shape[0] = output.dim() > 0 ? output.size(0) : 0;
  int64_t count = c10::multiply_integers(shape);
  const int64_t dimension = loss == NormLoss::cross_entropy ? class_dimension(output, shape) : -1;
  const at::Tensor counted = at::arange(count, at::kLong).view(shape);
  if (dimension >= 0) return sample_losses(loss, output, counted.remainder(output.size(dimension)));
  return sample_losses(loss, output, loss == NormLoss::mse ? counted.remainder(3).sub(1) : counted);
}

}  // namespace

at::Tensor sample_losses(NormLoss loss, const at::Tensor& output, const at::Tensor& y) {
  return loss == NormLoss::cross_entropy ? cross_entropy(output, y) : squared_error(output, y);
}

SampleNorms sample_norms(const std::filesystem::path& script, const std::filesystem::path& inputs,
                         const NormsOptions& options) {
  require(options.microbatch >= 0 && options.threads >= 1, "microbatch and threads cannot be negative");
  at::set_num_threads(options.threads);
  const Exec exec = Exec::cpu(options.threads);
  ModelSpec spec;
  spec.kind = "torchscript";
  spec.script = script;
  const Model model = Model::make(spec, {}, RunKey::from_seed(0));
  const Parameters parameters(model.named_parameters());
  const TensorFile file = read_safetensors(inputs);
  const at::Tensor x = as_input(tensor_of(file, "x", inputs)), y = tensor_of(file, "y", inputs);
  if (x.size(0) != y.size(0))
    throw Error(ErrorKind::data, cat(inputs.string(), ": x has ", x.size(0), " samples and y has ", y.size(0)));

  Inputs synthetic = {x.sizes().slice(1).vec(), x.scalar_type()};
  const Probe probe = {[&](int64_t batch, uint64_t seed) { return synthetic(batch, seed); },
                       [&](const at::Tensor& in) { return synthetic_losses(options.loss, model.forward(in), y); }};
  Tape tape(exec, parameters);
  tape.set_product_type(options.product_type);
  if (x.scalar_type() == at::kLong) synthetic.vocabulary = smallest_table(tape, parameters, probe);
  const ModelStructure structure = check_model(tape, parameters, probe);

  if (options.probes > 0) {
    NormMethods factors;
    for (const ProductShape& product : tape.products()) factors[product.parameter] = NormMethod::ghost;
    tape.set_norm_methods(std::move(factors));
  }
  const RunKey probe_key = RunKey::from_os();

  SampleNorms result;
  result.parameter_elements = parameters.elements();
  result.microbatch =
      std::min(x.size(0), options.microbatch > 0 ? options.microbatch : chosen_microbatch(structure, tape));
  for (int64_t first = 0; first < x.size(0); first += result.microbatch) {
    const int64_t count = std::min(result.microbatch, x.size(0) - first);
    GradSamples grads = tape.per_sample(count, [&](int64_t from, int64_t samples) {
      return sample_losses(options.loss, model.forward(x.narrow(0, first + from, samples)),
                           y.narrow(0, first + from, samples));
    });
    const at::NoGradGuard no_grad;
    if (first == 0) result.rules = explain(parameters, grads, tape.uses(), tape.uncaptured());
    if (options.probes > 0) {
      const StreamKey stream = probe_key.stream(Purpose::initialisation, static_cast<uint64_t>(first));
      const auto values = estimate_norms(exec, parameters, grads, options.probes, stream).values();
      result.estimates.insert(result.estimates.end(), values.begin(), values.end());
    }
    at::Tensor squared = at::zeros({count}, at::kDouble);
    add_squared_norms(exec, parameters, grads, squared);
    for (int64_t i = 0; i < count; ++i)
      result.norms.push_back(std::nextafter(std::sqrt(squared[i].item<double>()), INFINITY));
  }
  return result;
}

}  // namespace sotto

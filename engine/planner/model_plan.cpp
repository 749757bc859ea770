#include "engine/planner/model_plan.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/median.h"
#include "engine/autocast.h"
#include "engine/planner/calibration.h"
#include "engine/step_bench/bench_task.h"
#include "engine/tape/coverage.h"

namespace sotto {
namespace {

// Which loss it is does not matter to the shapes.
at::Tensor squares(const at::Tensor& output, const at::Tensor&) {
  if (output.dim() < 1)
    throw Error(ErrorKind::configuration, "the model's output is a scalar; its dimension 0 must be the batch");
  return output.flatten(1).square().sum(1);
}

BenchTask task_of(const PlanOptions& options) {
  const auto is_bench = [&](const BenchModel& model) { return options.model == model.name; };
  if (std::ranges::any_of(bench_models(), is_bench) || !std::filesystem::exists(options.model))
    return make_bench_task(options.model, options.batch);  // which says what there is
  std::vector<int64_t> shape = options.input_shape;
  if (shape.empty())
    throw Error(ErrorKind::configuration,
                cat(options.model, " needs --input-shape, the batch first, as in 32,3,32,32"));
  if (options.batch > 0) shape[0] = options.batch;
  ModelSpec spec;
  spec.kind = "torchscript";
  spec.script = options.model;
  return {Model::make(spec, {}, RunKey::from_seed(0)),
          options.vocabulary > 0 ? at::randint(options.vocabulary, shape, at::kLong) : at::randn(shape),
          at::zeros({shape[0]}), options.vocabulary, squares};
}

// A whole pass over the batch with given methods.
class Pass {
 public:
  Pass(const Exec& exec, const Parameters& parameters, Tape& tape, const BenchTask& task)
      : exec_(exec),
        parameters_(parameters),
        tape_(tape),
        task_(task),
        groups_(static_cast<size_t>(parameters.size())),
        factors_(at::full({1, task.inputs.size(0)}, 0.5f)) {
    for (int64_t k = 0; k < parameters.size(); ++k) sums_.push_back(at::zeros_like(parameters.tensor(k)).detach());
  }

  double milliseconds(NormMethods methods) {
    tape_.set_norm_methods(std::move(methods));
    const int64_t batch = task_.inputs.size(0);
    const auto start = std::chrono::steady_clock::now();
    GradSamples grads = tape_.per_sample(batch, [&] { return task_.losses(); });
    const at::NoGradGuard no_grad;
    at::Tensor squared = at::zeros({batch}, at::kDouble);
    add_squared_norms(exec_, parameters_, grads, squared);
    add_clipped(exec_, grads, groups_, factors_, sums_);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  Exec exec_;
  const Parameters& parameters_;
  Tape& tape_;
  const BenchTask& task_;
  std::vector<int64_t> groups_;
  at::Tensor factors_;
  std::vector<at::Tensor> sums_;
};

NormMethods methods_of(const NormPlan& plan, const std::vector<size_t>& chosen) {
  NormMethods methods;
  for (size_t i = 0; i < chosen.size(); ++i)
    methods[plan.products[i].product.parameter] = plan.products[i].ways[chosen[i]].method;
  return methods;
}

// Each product's ways in turn, the others as planned.
TriedPlan try_all(Pass& pass, const NormPlan& plan, const std::function<void(const std::string&)>& say) {
  constexpr int kTries = 5, kRounds = 15;
  TriedPlan tried;
  std::vector<size_t> planned;
  for (const PlannedProduct& product : plan.products) planned.push_back(product.chosen);
  tried.best = planned;
  pass.milliseconds(plan.methods());
  for (size_t i = 0; i < plan.products.size(); ++i) {
    if (say) say(cat("trying every way of product ", i + 1, " of ", plan.products.size()));
    const auto& ways = plan.products[i].ways;
    std::vector<std::vector<double>> times(ways.size());
    for (int round = 0; round < kTries; ++round)
      for (size_t w = 0; w < ways.size(); ++w) {
        if (ways[w].method == NormMethod::stored_bf16 && !plan.may_round) continue;
        if (plan.fits && plan.bytes() - plan.products[i].way().bytes + ways[w].bytes > plan.memory_limit) continue;
        std::vector<size_t> chosen = planned;
        chosen[i] = w;
        times[w].push_back(pass.milliseconds(methods_of(plan, chosen)));
      }
    std::vector<double> medians;
    for (const auto& of_way : times) medians.push_back(of_way.empty() ? NAN : median(of_way));
    for (size_t w = 0; w < ways.size(); ++w)
      if (medians[w] < medians[tried.best[i]]) tried.best[i] = w;
    tried.milliseconds.push_back(std::move(medians));
  }
  std::vector<double> of_plan, of_best, ratios;
  for (int round = 0; round < kRounds; ++round) {
    of_plan.push_back(pass.milliseconds(plan.methods()));
    of_best.push_back(pass.milliseconds(methods_of(plan, tried.best)));
    ratios.push_back(of_plan.back() / of_best.back());
  }
  tried.plan_ms = median(of_plan);
  tried.best_ms = median(of_best);
  tried.ratio = tried.best == planned ? 1.0 : median(ratios);
  return tried;
}

}  // namespace

ModelPlan plan_model(const PlanOptions& options, const std::function<void(const std::string&)>& say) {
  const at::ScalarType type = product_type(options.precision);
  const Site site = open_site(false, options.threads);
  const BenchTask task = task_of(options);
  const Parameters parameters(task.model.named_parameters());
  Tape tape(site.exec, parameters);
  tape.set_storage_limit(options.memory_limit);
  tape.set_product_type(type);
  const Probe probe = {[&](int64_t batch, uint64_t seed) {
                         std::vector<int64_t> shape = task.inputs.sizes().vec();
                         shape[0] = batch;
                         at::Generator generator = at::detail::createCPUGenerator(seed);
                         if (task.vocabulary == 0) return at::randn(shape, generator);
                         return at::randint(task.vocabulary, shape, generator, at::kLong);
                       },
                       [&](const at::Tensor& input) { return squares(task.model.forward(input), {}); }};
  ModelPlan result;
  check_model(tape, parameters, probe);
  result.captured = tape.uncaptured().empty();
  const std::vector<ProductShape> products = result.captured ? tape.products() : std::vector<ProductShape>{};
  result.plan = plan_norms(products, task.inputs.size(0), options.memory_limit,
                           products.empty() ? TimeModel() : time_model(site, say, options.recalibrate, type));
  for (const PlannedProduct& product : result.plan.products)
    result.names.push_back(parameters.name(product.product.parameter));
  if (options.try_all && !products.empty()) {
    Pass pass(site.exec, parameters, tape, task);
    result.tried = try_all(pass, result.plan, say);
  }
  return result;
}

}  // namespace sotto

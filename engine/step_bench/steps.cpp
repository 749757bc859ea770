#include "engine/step_bench/steps.h"

#include <algorithm>

#include "cuda/device.h"
#include "engine/autocast.h"
#include "engine/planner/calibration.h"
#include "engine/planner/planner.h"
#include "engine/step_bench/step_bench.h"
#include "engine/tape/flops.h"

namespace sotto {
namespace {

constexpr double kRate = 0.01, kMomentum = 0.9;

PrivacyPlan whole_batch_plan(int64_t batch, const Survey& known) {
  PrivacyConfig config;
  config.unit_of_privacy = "sample";
  config.delta = 1e-5;
  config.noise_multiplier = 1;
  config.clip_norm = 1;
  config.sample_rate = 1;
  config.public_size = batch;
  config.steps = 1000;
  return PrivacyPlan(config, known.way.microbatch, RunKey::from_os(), known.structure);
}

}  // namespace

PlainStep::PlainStep(const std::string& model, int64_t batch, const Site& site, at::ScalarType product_type)
    : task_(make_bench_task(model, batch, site.device)), exec_(site.exec), product_type_(product_type) {
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : task_.model.named_parameters()) parameters.push_back(tensor);
  optimizer_ = std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(kRate).momentum(kMomentum));
}

at::Tensor PlainStep::losses() const {
  const Autocast autocast(task_.inputs.device().type(), product_type_, /*keeps_casts=*/true);
  return task_.losses();
}

void PlainStep::operator()() {
  optimizer_->zero_grad();
  losses().mean().backward();
  optimizer_->step();
  synchronise(exec_);
}

Survey survey(const std::string& model, int64_t batch, const Site& site, const StepWay& way) {
  const BenchTask task = make_bench_task(model, batch, site.device);
  const Parameters parameters(task.model.named_parameters());
  Tape tape(site.exec, parameters);
  tape.set_storage_limit(way.memory_limit);
  tape.set_product_type(way.product_type);
  const int64_t all = task.inputs.size(0), samples = way.microbatch > 0 ? std::min(way.microbatch, all) : all;
  const GradSamples grads = tape.per_sample(samples, [&] { return task.losses(0, samples); });
  Survey made = {.structure = {.parameter_elements = parameters.elements()},
                 .methods = {},
                 .way = {samples, way.memory_limit, way.product_type}};
  for (const ProductShape& product : tape.products()) {
    int64_t& rows = product.convolution ? made.structure.positions_per_unit : made.structure.rows_per_unit;
    rows = std::max(rows, product.length);
  }
  for (const ParameterSamples& own : grads.parameters) {
    made.structure.tied = made.structure.tied || (!own.factored.empty() && !own.indexed.empty());
    for (const FactoredUse& use : own.factored)
      made.structure.rows_per_unit = std::max(made.structure.rows_per_unit, use.length);
  }
  if (!tape.products().empty())
    made.methods =
        plan_norms(tape.products(), samples, way.memory_limit, time_model(site, {}, false, way.product_type)).methods();
  return made;
}

PrivateRound::PrivateRound(const std::string& model, int64_t batch_size, const Site& site, const Survey& known,
                           bool record_passes)
    : task_(make_bench_task(model, batch_size, site.device)),
      exec_(site.exec),
      parameters_(task_.model.named_parameters()),
      tape_(exec_, parameters_),
      plan_(whole_batch_plan(batch(), known)),
      step_(
          exec_, parameters_, plan_, batch(), [](uint64_t) {},
          [this](const std::vector<int64_t>& units) {
            const auto count = std::ssize(units);
            return tape_.per_sample(count, [&] { return task_.losses(units.front(), count); });
          }),
      optimizer_(exec_, parameters_, {.kind = "sgd", .learning_rate = kRate, .momentum = kMomentum},
                 plan_.expected_batch(), plan_.config().steps) {
  tape_.set_storage_limit(known.way.memory_limit);
  tape_.set_product_type(known.way.product_type);
  tape_.set_norm_methods(known.methods);
  tape_.set_beside(site.beside());
  if (record_passes)
    step_.record_passes([this](const at::Tensor& units) {
      return tape_.per_sample(units.size(0), [&] { return task_.losses(units); });
    });
}

void PrivateRound::operator()() {
  optimizer_.step(step_.next(number_++));
  synchronise(exec_);
}

void PrivateRound::explain_to(StepBench& result) {
  if (const PassGraph* passes = step_.passes()) {
    result.recorded = passes->recorded();
    result.recording_refusal = passes->refusal();
  }
  const GradSamples grads = tape_.per_sample(batch(), [this] { return task_.losses(); });
  result.rules = explain(parameters_, grads, tape_.uses(), tape_.uncaptured());
  result.floor = flop_floor(result.rules, step_flops([this] { task_.model.forward(task_.inputs); }));
}

}  // namespace sotto

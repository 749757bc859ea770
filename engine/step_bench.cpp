#include "engine/step_bench.h"

#include <torch/optim/sgd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>

#include "accountants/ledger.h"
#include "base/error.h"
#include "base/median.h"
#include "cuda/device.h"
#include "engine/bench_task.h"
#include "engine/optimizer.h"
#include "engine/peak_memory.h"
#include "engine/planner/calibration.h"
#include "engine/planner/planner.h"
#include "engine/private_step.h"
#include "engine/site.h"
#include "engine/tape/flops.h"
#include "engine/tape/tape.h"

namespace sotto {
namespace {

constexpr double kRate = 0.01, kMomentum = 0.9;

class PlainStep {
 public:
  PlainStep(const std::string& name, int64_t batch, const Site& site)
      : task_(make_bench_task(name, batch, site.device)), exec_(site.exec) {
    std::vector<at::Tensor> parameters;
    for (const auto& [parameter_name, tensor] : task_.model.named_parameters()) parameters.push_back(tensor);
    optimizer_ = std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(kRate).momentum(kMomentum));
  }
  void operator()() {
    optimizer_->zero_grad();
    task_.losses().mean().backward();
    optimizer_->step();
    synchronise(exec_);
  }

 private:
  BenchTask task_;
  Exec exec_;
  std::unique_ptr<torch::optim::SGD> optimizer_;
};

// What one pass over a micro-batch shows of a model.
struct Survey {
  ModelStructure structure;
  NormMethods methods;  // the fastest on this machine within the limit
  int64_t microbatch, memory_limit;
};

Survey survey(const StepBenchOptions& options, const Site& site) {
  const BenchTask task = make_bench_task(options.model, options.batch, site.device);
  const Parameters parameters(task.model.named_parameters());
  Tape tape(site.exec, parameters);
  tape.set_storage_limit(options.memory_limit);
  const int64_t batch = task.inputs.size(0),
                samples = options.microbatch > 0 ? std::min(options.microbatch, batch) : batch;
  const GradSamples grads = tape.per_sample(samples, [&] { return task.losses(0, samples); });
  Survey made = {.structure = {.parameter_elements = parameters.elements()},
                 .methods = {},
                 .microbatch = samples,
                 .memory_limit = options.memory_limit};
  for (const ProductShape& product : tape.products()) {
    int64_t& rows = product.convolution ? made.structure.positions_per_unit : made.structure.rows_per_unit;
    rows = std::max(rows, product.length);
  }
  for (const ParameterSamples& own : grads.parameters) {
    made.structure.tied = made.structure.tied || (!own.factored.empty() && !own.indexed.empty());
    for (const FactoredUse& use : own.factored)
      made.structure.rows_per_unit = std::max(made.structure.rows_per_unit, use.length);
  }
  if (!tape.products().empty() && !site.exec.on_cuda())  // the times are the processor's
    made.methods = plan_norms(tape.products(), samples, options.memory_limit, time_model(site.exec)).methods();
  return made;
}

// Of one unit a sample, each of them in every batch.
PrivacyPlan whole_batch_plan(int64_t batch, const Survey& known) {
  PrivacyConfig config;
  config.unit_of_privacy = "sample";
  config.delta = 1e-5;
  config.noise_multiplier = 1;
  config.clip_norm = 1;
  config.sample_rate = 1;
  config.public_size = batch;
  config.steps = 1000;
  return PrivacyPlan(config, known.microbatch, RunKey::from_os(), known.structure);
}

// The step that training takes, but for the charge and the draw, which are timed by themselves.
class PrivateRound {
 public:
  PrivateRound(const std::string& name, int64_t batch_size, const Site& site, const Survey& known)
      : task_(make_bench_task(name, batch_size, site.device)),
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
    tape_.set_storage_limit(known.memory_limit);
    tape_.set_norm_methods(known.methods);
  }
  PrivateRound(const PrivateRound&) = delete;
  void operator()() {
    optimizer_.step(step_.next(number_++));
    synchronise(exec_);
  }
  int64_t batch() const { return task_.inputs.size(0); }
  int64_t parameters() const { return parameters_.elements(); }
  void explain_to(StepBench& result) {
    const GradSamples grads = tape_.per_sample(batch(), [this] { return task_.losses(); });
    result.rules = explain(parameters_, grads, tape_.uses(), tape_.uncaptured());
    result.floor = flop_floor(result.rules, counted_flops([this] {
                                const at::NoGradGuard no_grad;
                                task_.model.forward(task_.inputs);
                              }));
  }

 private:
  BenchTask task_;
  Exec exec_;
  Parameters parameters_;
  Tape tape_;
  PrivacyPlan plan_;
  PrivateStep step_;
  Optimizer optimizer_;
  uint64_t number_ = 0;
};

template <class Work>
double milliseconds(Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double charge_milliseconds(int64_t rounds) {
  const auto path = std::filesystem::temp_directory_path() / cat("sotto-bench-", ::getpid(), ".sqlite");
  std::vector<double> times;
  {
    auto ledger = accountants::Ledger::open(path);
    ledger.reserve({"bench",
                    "bench",
                    "bench",
                    "bench",
                    "unit",
                    accountants::NeighbouringRelation::add_remove,
                    "rdp",
                    "bench",
                    {accountants::PoissonSampledGaussian{1.0, 0.01}},
                    100,
                    1e-5,
                    rounds});
    for (int64_t step = 1; step <= rounds; ++step) {
      auto charge = [&] { ledger.charge("bench", step, step); };
      times.push_back(milliseconds(charge));
    }
  }
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + suffix);
  return median(times);
}

double draw_milliseconds(int64_t rounds) {
  const PoissonSampler sampler(RunKey::from_os(), 0.01, 100000);
  std::vector<double> times;
  for (int64_t step = 0; step < rounds; ++step) {
    auto draw = [&] { sampler.draw(static_cast<uint64_t>(step)); };
    times.push_back(milliseconds(draw));
  }
  return median(times);
}

template <class Step>
int64_t peak_of(const Site& site, const std::function<std::unique_ptr<Step>()>& make) {
  return peak_tensor_bytes(site.device, [&] {
    const auto step = make();
    (*step)();
    (*step)();
  });
}

}  // namespace

StepBench bench_step(const StepBenchOptions& options) {
  const auto& [model, batch, microbatch, rounds, threads, memory_limit, with_peaks, on_cuda] = options;
  require(rounds >= 1, "--rounds must be at least 1, got ", rounds);
  const Site site = open_site(on_cuda, threads);
  StepBench result;
  if (with_peaks)
    result.plain_peak_bytes = peak_of<PlainStep>(site, [&] { return std::make_unique<PlainStep>(model, batch, site); });
  const Survey known = survey(options, site);
  if (with_peaks)
    result.private_peak_bytes =
        peak_of<PrivateRound>(site, [&] { return std::make_unique<PrivateRound>(model, batch, site, known); });

  PlainStep plain(model, batch, site);
  PrivateRound private_round(model, batch, site, known);
  // The first hundred short steps are slower, by what the libraries and the clock of the processor take to settle.
  double warm_ms = 0;
  for (int warm = 0; warm < 1 || (warm < 100 && warm_ms < 1000); ++warm)
    warm_ms += milliseconds(plain) + milliseconds(private_round);
  std::vector<double> plain_ms, private_ms, ratios;
  for (int64_t round = 0; round < rounds; ++round) {
    plain_ms.push_back(milliseconds(plain));
    private_ms.push_back(milliseconds(private_round));
    ratios.push_back(private_ms.back() / plain_ms.back());
  }
  private_round.explain_to(result);
  result.model = model;
  result.batch = private_round.batch();
  result.microbatch = known.microbatch;
  result.parameters = private_round.parameters();
  result.rounds = rounds;
  result.threads = threads;
  result.plain_ms = median(plain_ms);
  result.private_ms = median(private_ms);
  result.ratio = median(ratios);
  result.charge_ms = charge_milliseconds(std::min<int64_t>(rounds, 25));
  result.draw_ms = draw_milliseconds(std::min<int64_t>(rounds, 25));
  return result;
}

}  // namespace sotto

#include "engine/step_bench.h"

#include <ATen/Parallel.h>
#include <torch/optim/sgd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>

#include "accountants/ledger.h"
#include "base/error.h"
#include "engine/loss.h"
#include "engine/model.h"
#include "engine/models/cifar_cnn.h"
#include "engine/models/lstm.h"
#include "engine/models/mlp.h"
#include "engine/models/mnist_cnn.h"
#include "engine/models/transformer.h"
#include "engine/optimizer.h"
#include "engine/peak_memory.h"
#include "engine/private_step.h"
#include "engine/tape/flops.h"
#include "engine/tape/tape.h"

namespace sotto {
namespace {

struct Task {
  Model model;
  at::Tensor inputs, labels;
};

template <class Module>
Task task_of(std::shared_ptr<Module> module, at::Tensor inputs, int64_t classes) {
  const int64_t batch = inputs.size(0);
  return {Model::wrap(module, [module](const at::Tensor& x) { return module->forward(x); }), std::move(inputs),
          at::randint(classes, {batch}, at::kLong)};
}

Task make_task(const std::string& name) {
  at::manual_seed(1);
  if (name == "mlp")
    return task_of(std::make_shared<Mlp>(120, std::vector<int64_t>{256, 128}, 2), at::randn({1024, 120}), 2);
  if (name == "mnist_cnn") return task_of(std::make_shared<MnistCnn>(), at::randn({256, 1, 28, 28}), 10);
  if (name == "cifar_cnn") return task_of(std::make_shared<CifarCnn>(), at::randn({128, 3, 32, 32}), 10);
  if (name == "lstm") return task_of(std::make_shared<Lstm>(64, 128, 2), at::randn({64, 64, 64}), 2);
  if (name == "transformer") {
    const TransformerSizes sizes;
    return task_of(std::make_shared<Transformer>(sizes), at::randint(sizes.vocabulary, {32, sizes.length}, at::kLong),
                   2);
  }
  throw Error(ErrorKind::configuration,
              cat("--model must be mlp, mnist_cnn, cifar_cnn, lstm or transformer, got ", name));
}

constexpr double kRate = 0.01, kMomentum = 0.9;

class PlainStep {
 public:
  explicit PlainStep(const std::string& name) : task_(make_task(name)) {
    std::vector<at::Tensor> parameters;
    for (const auto& [parameter_name, tensor] : task_.model.named_parameters()) parameters.push_back(tensor);
    optimizer_ = std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(kRate).momentum(kMomentum));
  }
  void operator()() {
    optimizer_->zero_grad();
    per_sample_loss(task_.model.forward(task_.inputs), task_.labels).mean().backward();
    optimizer_->step();
  }

 private:
  Task task_;
  std::unique_ptr<torch::optim::SGD> optimizer_;
};

// Of one unit a sample, each of them in every batch.
PrivacyPlan whole_batch_plan(const Task& task, int64_t elements) {
  const int64_t batch = task.inputs.size(0),
                length = task.inputs.dim() == 2 && task.inputs.is_floating_point() ? 1 : task.inputs.size(1);
  PrivacyConfig config;
  config.unit_of_privacy = "sample";
  config.delta = 1e-5;
  config.noise_multiplier = 1;
  config.clip_norm = 1;
  config.sample_rate = 1;
  config.public_size = batch;
  config.steps = 1000;
  return PrivacyPlan(config, batch, RunKey::from_os(), {.parameter_elements = elements, .rows_per_unit = length});
}

// The step that training takes, but for the charge and the draw, which are timed by themselves.
class PrivateRound {
 public:
  PrivateRound(const std::string& name, const Exec& exec)
      : task_(make_task(name)),
        parameters_(task_.model.named_parameters()),
        tape_(exec, parameters_),
        plan_(whole_batch_plan(task_, parameters_.elements())),
        step_(
            exec, parameters_, plan_, batch(), [](uint64_t) {},
            [this](const std::vector<int64_t>& units) {
              return tape_.per_sample(static_cast<int64_t>(units.size()), [this] {
                return per_sample_loss(task_.model.forward(task_.inputs), task_.labels);
              });
            }),
        optimizer_(exec, parameters_, {.kind = "sgd", .learning_rate = kRate, .momentum = kMomentum},
                   plan_.expected_batch(), plan_.config().steps) {}
  PrivateRound(const PrivateRound&) = delete;
  void operator()() { optimizer_.step(step_.next(number_++)); }
  int64_t batch() const { return task_.inputs.size(0); }
  int64_t parameters() const { return parameters_.elements(); }
  void explain_to(StepBench& result) {
    const GradSamples grads =
        tape_.per_sample(batch(), [this] { return per_sample_loss(task_.model.forward(task_.inputs), task_.labels); });
    result.rules = explain(parameters_, grads, tape_.uses(), tape_.uncaptured());
    result.floor = flop_floor(result.rules, counted_flops([this] {
                                const at::NoGradGuard no_grad;
                                task_.model.forward(task_.inputs);
                              }));
  }

 private:
  Task task_;
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

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
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
int64_t peak_of(const std::function<std::unique_ptr<Step>()>& make) {
  return peak_tensor_bytes([&] {
    const auto step = make();
    (*step)();
    (*step)();
  });
}

}  // namespace

StepBench bench_step(const std::string& model, int64_t rounds, int threads) {
  require(rounds >= 1, cat("--rounds must be at least 1, got ", rounds));
  at::set_num_threads(threads);
  const Exec exec = Exec::cpu(threads);
  StepBench result;
  result.plain_peak_bytes = peak_of<PlainStep>([&] { return std::make_unique<PlainStep>(model); });
  result.private_peak_bytes = peak_of<PrivateRound>([&] { return std::make_unique<PrivateRound>(model, exec); });

  PlainStep plain(model);
  PrivateRound private_round(model, exec);
  // The first hundred short steps are slower, by what the libraries and the clock of the processor take to settle.
  double warm_ms = 0;
  for (int warm = 0; warm < 3 || (warm < 100 && warm_ms < 1000); ++warm)
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

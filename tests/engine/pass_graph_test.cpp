#include "engine/pass_graph.h"

#include <dlfcn.h>

#include <filesystem>

#include "base/error.h"
#include "cuda/device.h"
#include "engine/site.h"
#include "engine/step_bench/bench_task.h"
#include "engine/tape/tape.h"
#include "tests/engine/private_fixture.h"

namespace sotto {
namespace {

TEST(PassGraph, RepeatsTheRecordedWorkOnWhatItIsGiven) {
  const at::Tensor place = at::zeros({3});
  int64_t calls = 0;
  PassGraph graph([&](const at::Tensor& records) -> std::vector<at::Tensor> {
    ++calls;
    place.add_(records.to(at::kFloat));
    return {records * 2};
  });
  std::vector<at::Tensor> results;
  at::Tensor sum = at::zeros({3});
  for (int64_t call = 1; call <= 5; ++call) {
    at::Tensor records = at::arange(3) + 10 * call;
    sum += records;
    results.push_back(graph.run(records)[0]);
    records.zero_();  // its own from then on
    EXPECT_EQ(graph.recorded(), call > 2) << "libraries set themselves up in the first calls";
    EXPECT_EQ(calls, call) << "recording runs nothing on the CPU";
  }
  for (int64_t call = 1; call <= 5; ++call)
    EXPECT_TRUE(results[static_cast<size_t>(call - 1)].equal((at::arange(3) + 10 * call) * 2)) << "nobody writes over it";
  EXPECT_TRUE(place.equal(sum)) << "once a call";
}

TEST(PassGraph, OtherSizesPassPlainly) {
  PassGraph graph([](const at::Tensor& records) -> std::vector<at::Tensor> { return {records + 1}; });
  for (const int64_t size : {4, 4, 4, 4, 3, 7, 4}) EXPECT_TRUE(graph.run(at::arange(size))[0].equal(at::arange(size) + 1));
  EXPECT_TRUE(graph.recorded());
}

// What a GPU run would open: all that it needs is there.
TEST(PassGraph, TheRecordersLibraryOpensWhereItIsBuilt) {
  if (!std::filesystem::exists(SOTTO_BINARY "/lib/libsotto_torch_graph.so"))
    GTEST_SKIP() << "built without a CUDA toolkit";
  void* const library = dlopen("libsotto_torch_graph.so", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  EXPECT_NE(dlsym(library, "sotto_make_torch_recorder"), nullptr);
}

// A model's private training by micro-batches of 8 of 32 units, each in every other batch: full ones and rests.
class Training {
 public:
  Training(const Site& site, const std::string& model, bool record, const PrivacyConfig& config)
      : task_(make_bench_task(model, 32, site.device)),
        parameters_(task_.model.named_parameters()),
        tape_(site.exec, parameters_),
        plan_(config, 8, RunKey::from_seed(3), {.parameter_elements = parameters_.elements(), .rows_per_unit = 512}),
        step_(
            site.exec, parameters_, plan_, 32, [](uint64_t) {},
            [this](const std::vector<int64_t>& units) { return pass(send(at::tensor(units), task_.inputs.device())); }),
        optimizer_(site.exec, parameters_, {.kind = "adamw", .learning_rate = 0.01}, plan_.expected_batch(), 100) {
    if (record) recordable_ = step_.record_passes([this](const at::Tensor& units) { return pass(units); });
  }
  Training(const Training&) = delete;

  void operator()() { optimizer_.step(step_.next(number_++)); }
  PrivateGradient gradient() { return step_.next(number_++); }
  void use(PrivateGradient&& gradient) { optimizer_.step(std::move(gradient)); }
  std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> values;
    for (int64_t k = 0; k < parameters_.size(); ++k) values.push_back(parameters_.tensor(k).detach().cpu().clone());
    return values;
  }
  StepDiagnostics diagnostics() const { return step_.diagnostics(); }
  const PassGraph* passes() const { return step_.passes(); }
  bool recordable() const { return recordable_; }

 private:
  GradSamples pass(const at::Tensor& units) {
    return tape_.per_sample(units.size(0), [&] { return task_.losses(units); });
  }

  BenchTask task_;
  Parameters parameters_;
  Tape tape_;
  PrivacyPlan plan_;
  PrivateStep step_;
  Optimizer optimizer_;
  uint64_t number_ = 0;
  bool recordable_ = false;
};

PrivacyConfig half_of_32() {
  PrivacyConfig config = private_config();
  config.sample_rate = 0.5;
  config.public_size = 32;
  return config;
}

void expect_the_same_training(const Site& site, const std::string& model, double tolerance) {
  Training plain(site, model, false, half_of_32()), recorded(site, model, true, half_of_32());
  for (int step = 0; step < 8; ++step) {
    plain();
    recorded();
    const auto expected = plain.parameters(), got = recorded.parameters();
    for (size_t k = 0; k < expected.size(); ++k)
      ASSERT_TRUE(tolerance == 0 ? got[k].equal(expected[k]) : got[k].allclose(expected[k], tolerance, tolerance))
          << model << ", step " << step << ", parameter " << k;
    EXPECT_EQ(recorded.diagnostics().batch_size, plain.diagnostics().batch_size);
    EXPECT_EQ(recorded.diagnostics().clipped, plain.diagnostics().clipped);
    EXPECT_NEAR(recorded.diagnostics().mean_loss, plain.diagnostics().mean_loss, tolerance);
  }
  EXPECT_EQ(recorded.passes()->refusal(), "");
  EXPECT_TRUE(recorded.passes()->recorded());
}

TEST(RecordedPasses, TrainToTheSameBits) {
  for (const char* model : {"mlp", "mnist_cnn", "transformer", "lstm"}) expect_the_same_training(open_site(false, 1), model, 0);
}

TEST(RecordedPasses, OnCudaTrainToTheSameModel) {
  if (!cuda_present()) GTEST_SKIP() << "no CUDA device on this machine";
  for (const char* model : {"mlp", "mnist_cnn", "transformer"})
    expect_the_same_training(open_site(true, 1, 2, /*own_stream=*/true), model, 1e-3);
}

TEST(RecordedPasses, AnUnusedGradientIsNeverOverwritten) {
  Training run(open_site(false, 1), "mlp", true, half_of_32());
  PrivateGradient kept = run.gradient();
  EXPECT_THROW(run.gradient(), Error);
  run.use(std::move(kept));
  EXPECT_NO_THROW(run());
}

TEST(RecordedPasses, AreRefusedWhereTheHostHasAPart) {
  PrivacyConfig adaptive = half_of_32();
  adaptive.clipping.quantile = 0.5;
  EXPECT_FALSE(Training(open_site(false, 1), "mlp", true, adaptive).recordable());
  PrivacyConfig lattice = half_of_32();
  lattice.noise = "discrete_gaussian";
  Training on_lattice(open_site(false, 1), "mlp", true, lattice);
  EXPECT_FALSE(on_lattice.recordable());
  EXPECT_EQ(on_lattice.passes(), nullptr);
  EXPECT_NO_THROW(on_lattice()) << "and go on plainly";
}

}  // namespace
}  // namespace sotto

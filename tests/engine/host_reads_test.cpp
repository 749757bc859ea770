#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "engine/step_bench/bench_task.h"
#include "engine/tape/by_unit.h"
#include "engine/tape/tape.h"
#include "tests/engine/private_fixture.h"

namespace sotto {
namespace {

// The operators that stop the host until the device has come to them, by what LibTorch calls them. On a CPU they wait
// for nothing, but are called all the same.
std::set<std::string> g_waits;
std::vector<std::string> g_running;  // operators, the innermost last

std::unique_ptr<at::ObserverContext> note(const at::RecordFunction& function) {
  static const std::set<std::string> waiting = {"aten::item",
                                                "aten::_local_scalar_dense",
                                                "aten::equal",
                                                "aten::is_nonzero",
                                                "aten::nonzero",
                                                "aten::masked_select",
                                                "aten::unique",
                                                "aten::to.device",
                                                "aten::to.dtype_layout",
                                                "aten::to.other"};
  const auto name = function.operator_name();
  const std::string full = !name                         ? ""
                           : name->overload_name.empty() ? name->name
                                                         : name->name + "." + name->overload_name;
  // A softmax asks for its own device and type.
  const bool own_device =
      full == "aten::to.dtype_layout" && !g_running.empty() && g_running.back().find("softmax") != std::string::npos;
  if (waiting.contains(full) && !own_device) g_waits.insert(full);
  g_running.push_back(full);
  return nullptr;
}

void leave(const at::RecordFunction&, at::ObserverContext*) {
  g_running.pop_back();
}

// What `work` called of these.
std::set<std::string> waits_of(const std::function<void()>& work) {
  at::set_num_threads(1);  // tensors this small only wait for each other's threads
  g_waits.clear();
  g_running.clear();
  const auto handle =
      at::addGlobalCallback(at::RecordFunctionCallback(note, leave).scopes({at::RecordScope::FUNCTION}));
  try {
    work();
  } catch (...) {
    at::removeCallback(handle);
    throw;
  }
  at::removeCallback(handle);
  return g_waits;
}

TEST(HostReads, AreNoticed) {
  const at::Tensor x = at::ones({3});
  EXPECT_FALSE(waits_of([&] { x.sum().item<float>(); }).empty());
  EXPECT_FALSE(waits_of([&] { x.cpu(); }).empty());
  EXPECT_FALSE(waits_of([&] { x.to(at::kCPU, at::kDouble); }).empty());
  EXPECT_FALSE(waits_of([&] { x.equal(x); }).empty());
  EXPECT_TRUE(waits_of([&] { x.to(at::kDouble).sum(); }).empty()) << "a cast stays where it is";
}

// A step with micro-batches and its update.
class Step {
 public:
  explicit Step(const std::string& model, int64_t records_a_unit = 1, bool recorded = false)
      : task_(make_bench_task(model, 6 * records_a_unit)),
        parameters_(task_.model.named_parameters()),
        tape_(Exec::cpu(1), parameters_),
        plan_(config(), 4, RunKey::from_seed(3), {.parameter_elements = parameters_.elements(), .rows_per_unit = 512}),
        step_(
            Exec::cpu(1), parameters_, plan_, 6, [](uint64_t) {},
            [this, records_a_unit](const std::vector<int64_t>& units) {
              const int64_t records = std::ssize(units) * records_a_unit;
              std::vector<int64_t> starts;
              for (int64_t start = 0; start <= records; start += records_a_unit) starts.push_back(start);
              const int64_t first = units.front() * records_a_unit;
              return by_unit(tape_.per_sample(records, [&] { return task_.losses(first, records); }), starts,
                             parameters_);
            }),
        optimizer_(Exec::cpu(1), parameters_, {.kind = "adam", .learning_rate = 0.1}, plan_.expected_batch(), 100) {
    if (recorded)
      step_.record_passes([this](const at::Tensor& units) {
        return tape_.per_sample(units.size(0), [&] { return task_.losses(units); });
      });
  }

  void operator()() { optimizer_.step(step_.next(number_++)); }
  StepDiagnostics diagnostics() const { return step_.diagnostics(); }

 private:
  static PrivacyConfig config() {
    PrivacyConfig made = private_config();
    made.sample_rate = 1;
    made.public_size = 6;
    return made;
  }
  BenchTask task_;
  Parameters parameters_;
  Tape tape_;
  PrivacyPlan plan_;
  PrivateStep step_;
  Optimizer optimizer_;
  uint64_t number_ = 0;
};

TEST(HostReads, AStepAndItsUpdateWaitForNothing) {
  for (const char* model : {"mlp", "mnist_cnn", "lstm", "transformer"}) {
    Step step(model);
    step();  // what is set up once may wait
    EXPECT_EQ(waits_of(std::ref(step)), std::set<std::string>{}) << model;
    EXPECT_FALSE(waits_of([&] { EXPECT_EQ(step.diagnostics().batch_size, 6); }).empty()) << "it waits when it is asked";
  }
}

TEST(HostReads, WhatIsRecordedWaitsForNothing) {
  for (const char* model : {"mlp", "mnist_cnn", "lstm", "transformer"}) {
    Step step(model, 1, true);
    step();
    EXPECT_EQ(waits_of([&] { for (int k = 0; k < 3; ++k) step(); }), std::set<std::string>{}) << model;
  }
}

TEST(HostReads, UnitsOfSeveralRecordsWaitForNothingEither) {
  for (const char* model : {"mlp", "transformer"}) {
    Step step(model, 3);
    step();
    EXPECT_EQ(waits_of(std::ref(step)), std::set<std::string>{}) << model;
    EXPECT_EQ(step.diagnostics().batch_size, 6);
  }
}

TEST(StepTrace, CountsOverMicroBatchesWhatItSawOfEachUnit) {
  StepTrace trace;
  EXPECT_EQ(trace.diagnostics().batch_size, 0);
  EXPECT_EQ(trace.diagnostics().mean_loss, 0) << "of an empty batch";
  EXPECT_EQ(trace.below(1), 0);
  trace.add(at::tensor({0.5, 1.0, 2.0}), at::tensor({1.0f, 0.99f, 0.5f}));
  trace.add_losses(at::tensor({1.0, double(NAN), 3.0}));
  trace.add(at::tensor({double(NAN), 0.25}), at::tensor({0.0f, 1.0f}));
  trace.add_losses(at::tensor({double(INFINITY), 5.0}));
  const StepDiagnostics seen = trace.diagnostics();
  EXPECT_EQ(seen.batch_size, 5);
  EXPECT_EQ(seen.non_finite, 1);
  EXPECT_EQ(seen.clipped, 3) << "two that were cut, one that was dropped";
  EXPECT_DOUBLE_EQ(seen.mean_loss, 3) << "of 1, 3 and 5: the others are no numbers";
  EXPECT_DOUBLE_EQ(trace.below(1.0), 0.5) << "three of five are within";
  EXPECT_DOUBLE_EQ(trace.below(0.1), -2.5) << "what is no number is not within";
}

}  // namespace
}  // namespace sotto

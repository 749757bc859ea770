#pragma once
#include <cstdint>
#include <string>

#include "engine/tape/explain.h"

namespace sotto {

// Milliseconds are medians over the rounds; plain and private steps alternate. Peaks are those of a step with its
// model, optimizer and batch.
struct StepBench {
  std::string model;
  int64_t batch = 0, microbatch = 0, memory_limit = 0, parameters = 0, rounds = 0;
  int threads = 0;
  double plain_ms = 0, private_ms = 0, ratio = 0;  // ratio: median of private ÷ plain, round by round
  double charge_ms = 0, draw_ms = 0;               // beside the ratio: a durable ledger row, a draw from 100,000 units
  int64_t plain_peak_bytes = 0, private_peak_bytes = 0;
  std::vector<ParameterRule> rules;
  double floor = 0;  // flop_floor of the model at this batch
  std::string precision;
  bool recorded = false;          // the private step's passes
  std::string recording_refusal;  // why not, where that was asked for
};

struct StepBenchOptions {
  std::string model;  // of bench_models()
  int64_t batch = 0;  // 0: the model's own
  int64_t rounds = 25;
  int threads = 1;
  // How the private step goes through the batch: samples it passes at once, and bytes it may keep for norms and clipped
  // sums. Where both are 0, the fastest of six ways whose peak memory is within peak_limit of the plain step's; where
  // one is, the batch, or kMemoryLimit.
  int64_t microbatch = 0, memory_limit = 0;
  double peak_limit = 1.1;
  bool on_cuda = false;
  int streams = 2;                    // of a GPU
  std::string precision = "float32";  // or bfloat16: both steps under autocast
  bool record_passes = false;         // of the private step
};

constexpr int64_t kMemoryLimit = int64_t{1} << 30;

// A full step of DP-SGD (forward, backward, norms, clip, ChaCha20 noise, SGD with momentum), with the norm methods that
// are planned for this machine, against LibTorch's own step (forward, backward, torch::optim::SGD) on the same model
// and batch. Throws configuration for a model or a precision that is not there and, on the CPU, where memory is too
// short for both; cuda where a GPU is asked for and none answers.
StepBench bench_step(const StepBenchOptions& options);

}  // namespace sotto

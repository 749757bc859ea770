#pragma once
#include <cstdint>
#include <string>

#include "engine/tape/explain.h"

namespace sotto {

// Milliseconds are medians over the rounds; plain and private steps alternate. Peaks are those of a step with its
// model, optimizer and batch.
struct StepBench {
  std::string model;
  int64_t batch = 0, parameters = 0, rounds = 0;
  int threads = 0;
  double plain_ms = 0, private_ms = 0, ratio = 0;  // ratio: median of private ÷ plain, round by round
  double charge_ms = 0, draw_ms = 0;               // beside the ratio: a durable ledger row, a draw from 100,000 units
  int64_t plain_peak_bytes = 0, private_peak_bytes = 0;
  std::vector<ParameterRule> rules;
  double floor = 0;  // flop_floor of the model at this batch
};

// A full step of DP-SGD (forward, backward, norms, clip, ChaCha20 noise, SGD with momentum) against LibTorch's own step
// (forward, backward, torch::optim::SGD) on the same model and batch: "mlp" is 120-256-128-2 at batch 1024,
// "mnist_cnn" two convolutions on 28x28 images at batch 256, "cifar_cnn" six with group normalisation on 3x32x32 images
// at batch 128, "lstm" 128 units over 64 rows of 64 features at batch 64, "transformer" 2 blocks of width 128 on 128
// tokens at batch 32. Throws configuration for another name.
StepBench bench_step(const std::string& model, int64_t rounds, int threads);

}  // namespace sotto

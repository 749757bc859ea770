#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/model.h"

namespace sotto {

// A model with random weights and a batch of random samples, for the benches: the same from the same name.
struct BenchTask {
  Model model;
  at::Tensor inputs, labels;
  int64_t vocabulary;  // 0: float inputs, else ids below it
  std::function<at::Tensor(const at::Tensor& output, const at::Tensor& labels)> loss;  // [batch]

  at::Tensor losses() const { return loss(model.forward(inputs), labels); }
  at::Tensor losses(int64_t first, int64_t count) const {
    return loss(model.forward(inputs.narrow(0, first, count)), labels.narrow(0, first, count));
  }
  at::Tensor losses(const at::Tensor& records) const {
    return loss(model.forward(inputs.index_select(0, records)), labels.index_select(0, records));
  }
};

struct BenchModel {
  const char* name;
  const char* what;
};

// Those that make_bench_task makes, small ones first.
const std::vector<BenchModel>& bench_models();

// batch 0: the model's own, which bench_models() states. Throws configuration for another name.
BenchTask make_bench_task(const std::string& name, int64_t batch = 0, const at::Device& device = at::kCPU);

}  // namespace sotto

#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/planner/planner.h"

namespace sotto {

struct PlanOptions {
  std::string model = {};                 // a bench model's name, or a TorchScript file
  std::vector<int64_t> input_shape = {};  // of a TorchScript model's input, the batch first
  int64_t vocabulary = 0;                 // > 0: the input is ids below it, else floats
  int64_t batch = 0;                      // 0: the bench model's, or input_shape's
  int64_t memory_limit = int64_t{1} << 30;
  std::string precision = "float32";  // or bfloat16: of matrix products' operands
  int threads = 1;
  bool recalibrate = false;
  bool try_all = false;
};

// What trying every way of every product gave: the plan's time and the time of the best ways found, each of a whole
// pass (forward, backward, norms, clipped sum), in rounds that alternate.
struct TriedPlan {
  std::vector<std::vector<double>> milliseconds;  // [product][way] of a whole pass; NaN: not one to be chosen
  std::vector<size_t> best;                       // [product]
  double plan_ms = 0, best_ms = 0;
  double ratio = 1;  // median of plan ÷ best, round by round
};

struct ModelPlan {
  NormPlan plan;
  std::vector<std::string> names;  // of each product's parameter
  bool captured = true;            // false: no rule covers the model, each sample passes alone, and there is no choice
  TriedPlan tried;                 // where asked for
};

// Plans a model's norms on this machine, with random inputs alone. `say` gets what takes longer. Throws as check_model
// does, and configuration for shapes that the model does not take.
ModelPlan plan_model(const PlanOptions& options, const std::function<void(const std::string&)>& say = {});

}  // namespace sotto

#pragma once
#include <filesystem>
#include <functional>

#include "cuda/exec.h"
#include "engine/planner/time_model.h"

namespace sotto {

// Times every method on some two dozen shapes with random numbers, about three seconds, and fits a model to it.
TimeModel calibrate(const Exec& exec);

// Where this machine keeps its model: $XDG_CACHE_HOME or ~/.cache, in sotto/time_model.json.
std::filesystem::path time_model_path();

// The machine's model from that file, of the same processor, instruction set, thread count and build; else it is
// calibrated and put there. Where nothing can be written, it is calibrated for this process alone. `say` gets a
// line when it calibrates.
TimeModel time_model(const Exec& exec, const std::function<void(const std::string&)>& say = {},
                     bool recalibrate = false);

}  // namespace sotto

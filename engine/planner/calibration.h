#pragma once
#include <filesystem>
#include <functional>

#include "engine/planner/time_model.h"
#include "engine/site.h"

namespace sotto {

// Times every method on some two dozen shapes with random numbers, about three seconds, and fits a model to it: of
// linear layers and convolutions as a tape with that product type takes them.
TimeModel calibrate(const Site& site, at::ScalarType product_type = at::kFloat);

// Where this machine keeps its model: $XDG_CACHE_HOME or ~/.cache, in sotto/time_model.json.
std::filesystem::path time_model_path();

// The model of the site's processor, instruction set and threads, or GPU and driver, product type and this build from
// that file; else it is calibrated and put there. Where nothing can be written, it is calibrated for this process alone.
// `say` gets a line when it calibrates.
TimeModel time_model(const Site& site, const std::function<void(const std::string&)>& say = {},
                     bool recalibrate = false, at::ScalarType product_type = at::kFloat);

}  // namespace sotto

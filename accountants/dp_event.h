#pragma once
#include <nlohmann/json_fwd.hpp>

#include "accountants/event.h"

namespace sotto::accountants {

// An event of dp-accounting 0.6.0 as its to_named_tuple() has it: {"class_name": …, the fields by their names,
// "module_name": … (not read)}, events within it likewise. What it means is theirs:
//   NoOp                          post-processing
//   RandomizedResponse            noise_parameter p of k buckets: e^ε = 1 + k (1 − p) / p; one bucket costs nothing
//   DiscreteLaplace               scale = 1 / noise_parameter
//   PoissonSampled                poisson_sampled() of its event
//   SampledWith(out)Replacement   FixedSizeSampled
//   SingleEpochTreeAggregation    the deepest tree: a unit is in one of them
//   MixtureOfGaussians            by ascending sensitivity, noise and sensitivities in units of 1
//   RepeatAndSelect, ZC, TruncatedSubsampledGaussian, Unsupported   Unsupported, with their name
// Numbers are rounded towards more spent. Throws data on an unknown class, an unknown or missing key or a value out of
// range, naming it, configuration where events are nested too deeply.
Event event_from_dp_event(const nlohmann::json& object);

}  // namespace sotto::accountants

#pragma once
#include <set>

#include "engine/tape/structure_check.h"

namespace sotto {

// The parameters of which a use has no rule, found by trying: the forward pass of two synthetic samples runs with
// capture on, and what its loss graph still reaches was not captured; so is a use whose input does not follow the
// batch. Leaves the tape as it was. Throws configuration, with the parameter's name, where a rule takes one use and
// another use is hidden from it.
std::set<int64_t> uncaptured_parameters(Tape& tape, const Parameters& parameters, const Probe& probe);

// check_structure for a model that the tape passes through one sample at a time: run with products of `product_type` as
// the tape's, another sample's values or their number must not change a sample's loss by more than the part `rounding`
// of it, and every parameter must be used. Throws configuration with names.
ModelStructure check_sample_passes(const Parameters& parameters, const Probe& probe, double rounding = 0,
                                   at::ScalarType product_type = at::kFloat);

// Prepares `tape` for a model, with synthetic samples alone. Embeddings whose ids are the same for two samples as for
// three others are shared by all samples (Tape::set_shared_embeddings). Then by check_structure where every use has a
// rule; otherwise each sample passes by itself, for all parameters, which is slow and correct. Throws
// configuration as both do.
ModelStructure check_model(Tape& tape, const Parameters& parameters, const Probe& probe);

}  // namespace sotto

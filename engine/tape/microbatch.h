#pragma once
#include "engine/privacy_plan.h"
#include "engine/tape/tape.h"

namespace sotto {

// How many samples to pass through a checked model at once: activations of a few megabytes, large enough for the matrix
// kernels and small enough for the caches; where every gradient is stored, no more than the tape's storage limit holds.
int64_t chosen_microbatch(const ModelStructure& structure, const Tape& tape);

}  // namespace sotto

#pragma once
#include "engine/privacy_plan.h"
#include "engine/tape/tape.h"

namespace sotto {

// How many units of at most `records` samples to pass through a checked model at once: activations of a few megabytes,
// large enough for the matrix kernels and small enough for the caches, and of which the least that norms and clipped
// sums must keep is within the tape's storage limit, if it has one. Where each sample passes alone, no more than the
// limit holds of gradients.
int64_t chosen_microbatch(const ModelStructure& structure, const Tape& tape, int64_t records = 1);

}  // namespace sotto

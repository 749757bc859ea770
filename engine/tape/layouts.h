#pragma once
#include "engine/tape/structure_check.h"

namespace sotto {

// The layouts that a use's sizes allow in forward passes of two and of three samples: a dimension that is the batch,
// the first one first, or a dimension 0 that is a multiple of it. Empty where its input does not follow the batch.
std::vector<BatchLayout> possible_layouts(const RecordedUse& of_two, const RecordedUse& of_three);

// Where each use of a parameter has its samples, in forward order. Found by evidence, not by shape: the size must
// follow the batch from two samples to three, and when one of three samples changes, nothing may change outside what
// the layout says is its own. Among layouts that fit, the batch in a dimension of its own is preferred, the first one
// first. Throws configuration, with the parameter's name, where none fits.
std::vector<BatchLayout> find_layouts(Tape& tape, const Parameters& parameters, const Probe& probe);

}  // namespace sotto

#pragma once
#include <functional>

#include "engine/privacy_plan.h"
#include "engine/tape/tape.h"

namespace sotto {

// What a model is asked to do with synthetic samples.
struct Probe {
  std::function<at::Tensor(int64_t batch, uint64_t seed)> input;  // never training data
  std::function<at::Tensor(const at::Tensor& input)> losses;      // [batch]
};

// Refuses, before the first step and with the parameter's name, a model whose samples cannot be told apart:
//  - structure: at two batch sizes each captured layer has its samples in known places, which the tape is told, and
//    every parameter is used;
//  - dynamics: when one sample changes, the factors and gradients of all others stay the same to the last bit.
ModelStructure check_structure(Tape& tape, const Parameters& parameters, const Probe& probe);

}  // namespace sotto

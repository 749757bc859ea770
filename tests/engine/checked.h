#pragma once
#include <string>
#include <vector>

#include "engine/tape/coverage.h"
#include "tests/engine/subject.h"

namespace sotto {

// A model with the tape and the synthetic samples that check_model takes.
struct Checked {
  Subject subject;
  Parameters parameters;
  Tape tape;
  Probe probe;

  explicit Checked(const Factory& make, const std::function<at::Tensor(int64_t)>& input)
      : subject(make()), parameters(subject.named()), tape(Exec::cpu(1), parameters) {
    probe = {[input](int64_t batch, uint64_t seed) {
               at::manual_seed(seed);
               return input(batch);
             },
             [this](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }};
  }
  std::vector<std::string> uncaptured() {
    std::vector<std::string> names;
    for (const int64_t k : uncaptured_parameters(tape, parameters, probe)) names.push_back(parameters.name(k));
    return names;
  }
};

}  // namespace sotto

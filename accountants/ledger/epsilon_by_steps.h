#pragma once
#include <cstdint>
#include <map>

#include "accountants/ledger.h"

namespace sotto::accountants {

// epsilon_of(entry, steps) for many step counts of one entry. By RDP ε is the least of straight lines in the number of
// steps, one an order, so it is concave and straight in pieces: where a point between two others lies on their chord,
// all do, to a part in 10^12. Other accountants are asked for every number of steps, once.
class EpsilonBySteps {
 public:
  explicit EpsilonBySteps(RunEntry entry) : entry_(std::move(entry)) {}
  double at(int64_t steps);

 private:
  struct Piece {  // straight over [first, last]
    int64_t first = 0, last = -1;
    double start = 0, slope = 0;
  };
  double exact(int64_t steps);

  RunEntry entry_;
  Piece piece_;
  std::map<int64_t, double> known_;
};

}  // namespace sotto::accountants

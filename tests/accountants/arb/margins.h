#pragma once
#include <string>

#include "accountants/bracket.h"
#include "tests/accountants/arb/closed_forms.h"

namespace sotto::accountants {

inline constexpr double kAny = 1e300;  // for `furthest` and `widest`: only the side is held

// Holds bounds against balls, case by case, and prints at the end how many there were and how near the nearest of
// either side came to the truth, relative to it. A truth known to fewer than 64 bits fails, and so does an end that is
// further than `furthest` from the truth, relative to it: a bound that says nothing is always right.
class Margins {
 public:
  explicit Margins(std::string what) : what_(std::move(what)) {}
  ~Margins();
  Margins(const Margins&) = delete;
  Margins& operator=(const Margins&) = delete;

  void add_case() { ++cases_; }
  void is_above(const std::string& row, double upper, const Ball& truth, double furthest);
  void is_below(const std::string& row, double lower, const Ball& truth, double furthest);

  // One case each. An upper ε must leave at most `delta`, a lower one at least that, so that no equation needs solving
  // in balls; there the ends may be `widest` · upper apart. ε = 0 from below and +infinity from above say nothing.
  void contains(const std::string& row, Bracket got, const Ball& truth, double furthest);
  void contains_epsilon(const std::string& row, Bracket got, double delta, const Truth& truth, double widest);

 private:
  std::string what_;
  int cases_ = 0;
  double above_ = kAny, below_ = kAny;
};

}  // namespace sotto::accountants

#pragma once
#include <cstdint>
#include <vector>

#include "accountants/event.h"
#include "accountants/spend_tally.h"

namespace sotto::accountants {

// Says at any time what a data-dependent sequence of mechanisms has spent, without a budget fixed before. A ladder of
// budgets ε_j = first_epsilon · ratio^j, each holding at δ_j = δ / ((j+1)(j+2)), which add up to δ; the odometer shows
// the least rung that still holds all that was charged (union over growing budgets: Rogers, Roth, Ullman, Vadhan 2016;
// Lécuyer 2021; Whitehouse, Ramdas, Rogers, Wu 2023).
//
// Promise: stop whenever you like, for whatever reason the released outputs give, and call ε(x) what is shown at the
// end of the transcript x. Then P(S) ≤ ∫_S e^ε(x) dQ(x) + δ for every set S of transcripts and all neighbours. So a
// sequence whose shown value never passes ε is (ε, δ)-DP. (Transcripts that end at rung j are ones that a filter with
// budget j alone would have let pass, so each part costs at most its δ_j.)
//
// It shows more than a FixedSchedule costs, and up to `ratio` more than a filter: for a limit that is known, filter.
class Odometer {
 public:
  // Where the ladder begins and how far apart its rungs are. A value is never shown below first_epsilon.
  struct Ladder {
    double first_epsilon = 0.05, ratio = 1.2;
  };

  // Throws invalid_argument unless 0 < delta < 1, first_epsilon > 0 and 1.01 ≤ ratio ≤ 10.
  Odometer(Currency currency, NeighbouringRelation relation, double delta)
      : Odometer(currency, relation, delta, Ladder()) {}
  Odometer(Currency currency, NeighbouringRelation relation, double delta, Ladder ladder);

  // Counts `count` uses before they are run; throws as AdaptiveFilter::try_charge does. O(1) a call over any sequence.
  void charge(const Event& event, int64_t count = 1);

  // 0 before anything was charged that costs something; +infinity beyond the last rung, an ε of 10^6.
  double epsilon() const { return shown_; }
  double delta() const { return delta_; }

 private:
  double rung_epsilon() const;
  void climb();
  bool holds() const;

  SpendTally tally_;
  Currency currency_;
  double delta_;
  Ladder ladder_;
  int rung_ = -1;
  std::vector<Spend> limits_;  // of the rung
  double shown_ = 0;
};

}  // namespace sotto::accountants

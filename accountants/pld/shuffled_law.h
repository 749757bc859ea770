#pragma once
#include <cstdint>
#include <memory>

#include "accountants/pld/loss_law.h"

namespace sotto::accountants {

// `reports` units each run a local randomiser, an honest shuffler hides who sent what, and one unit is replaced. What
// shuffle.h assumes is assumed here.

// Randomised response among k categories, each other one with r = 1 / (e^ε + k − 1). Above, the privacy blanket (Balle,
// Bell, Gascón, Nissim 2019, Lemma 5.3; its decomposition is the optimal one here, arXiv 2504.07414): a report is a
// uniform category with probability k r, else the truth, which is revealed together with whose it is. Of the m = B + 1
// others and the replaced unit's, B ~ Bin(reports − 1, k r) known, a say the one category in question and b the other:
//
//   P = k r (m + (e^ε − 1) a) / m · M,  Q = k r (m + (e^ε − 1) b) / m · M,  M the multinomial of m uniform categories
//
// for all data, hence over rounds, too. Fewer blanket reports hide less, so a block of values of B costs at most what
// its least does. Above 2 · 10^5 reports, or 4 · 10^4 a category, outcomes are not listed: the same pair by sums of
// ratios (shuffled_channel_law.h). Two categories up to 10^6 reports have no need of a blanket (shuffled_bits.h).
// Below, what data attain: all others hold a third category and only (a, b) is looked at (shuffled_groups.h); with k =
// 2 all others hold one of the two.
//
// Throws invalid_argument unless 0 < epsilon ≤ 50, categories ≥ 2 and 2 ≤ reports ≤ 10^8.
std::shared_ptr<const LossLaw> shuffled_response_law(double epsilon, int64_t categories, int64_t reports);

// Any ε-DP randomiser: the pair of Feldman, McMillan, Talwar 2021, Theorem 3.2 (shuffle.h), from above alone.
std::shared_ptr<const LossLaw> shuffled_clones_law(double epsilon, int64_t reports);

}  // namespace sotto::accountants

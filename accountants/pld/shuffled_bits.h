#pragma once
#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// Randomised response among two categories, one of `reports` units replaced, from above: the exact divergence, the
// largest over what the others may hold. Of those, i hold the one category and j the other; with T ~ Bin(i, 1 − r) +
// Bin(j, r), r = 1 / (1 + e^ε), the number of reports of the one category is
//
//   P = T + Bernoulli(1 − r)  against  Q = T + Bernoulli(r),
//
// whose ratio grows with it, T being log-concave. Fewer others hide less, so all numbers i of a block of `size` are
// covered by the least i and the least j of the block. At every ε ≥ 0 the largest over all blocks, in both directions
// the same since the categories may change names. The blanket, which also tells how many reports are of it, costs some
// 20 % more.
LossCells shuffled_bits_above(double epsilon, double reports);

}  // namespace sotto::accountants

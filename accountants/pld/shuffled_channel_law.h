#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "accountants/pld/cell_law.h"
#include "accountants/pld/sum_divergence.h"

namespace sotto::accountants {

// Privacy blankets of local randomisers other than randomised response (Balle, Bell, Gascón, Nissim 2019, §5): what all
// units' reports have in common, R(y|x) ≥ γ ω(y) with γ ω(y) = min_x R(y|x), says nothing of whose it is, and hides
// those that differ. With W_i = 0 where report i is not of the blanket (probability 1 − γ) and else y ~ ω, Lemma 5.3:
//
//   δ(ε) ≤ 1/(γ n) · E max(0, Σ_i R(y_i|x)/ω(y_i) − e^ε R(y_i|x')/ω(y_i)) + Σ_{ω(y) = 0} max(0, R(y|x) − e^ε R(y|x'))
//
// for the replaced unit's x and x' and all data of the others: it is the divergence of a pair that all of them are
// dominated by, hence composes. The expectation is SumDivergence's. γ ω is the largest measure below all rows, so no
// decomposition hides more (arXiv 2504.07414). What shuffle.h assumes is assumed here.

// The bound's pair for one x and x': `cells` of the base law that says nothing with probability 1 − gamma, and X, Y
// times γ. No loss is above `most`.
LossCells over_blanket(std::vector<RatioCell> cells, double gamma, double reports, double most);

// A channel, `table` one row an input (event/mechanisms.h). Above: the largest over all pairs of inputs; where more
// than 24 pairs differ, the pair of densities that only take the least and the largest value of R(y|x)/ω(y), which is
// worse. Below, told_by_groups of the pair and the third input, and of the groups of outputs, whose χ² is largest.
std::shared_ptr<const LossLaw> shuffled_channel_law(const std::vector<std::vector<double>>& table, int64_t reports);

// Laplace noise on numbers of [−C, C], or on each entry of vectors of L1 norm at most C, of scale 2C/ε: γ = e^−ε/2, ω
// the noise around 0, and x = C against x' = −C is the worst pair: ω, R(·|x) and R(·|x') are shifts of one log-concave
// noise (ShiftedNoiseLaw says why). Below: three groups of outputs, of these two, all others holding 0. Throws
// invalid_argument unless 0 < epsilon ≤ 50 and 2 ≤ reports ≤ 10^8.
std::shared_ptr<const LossLaw> shuffled_laplace_law(double epsilon, int64_t reports);

}  // namespace sotto::accountants

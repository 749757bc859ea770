#pragma once
#include <vector>

#include "accountants/pld/sum_divergence.h"

namespace sotto::accountants {

// The base law is noise around 0, X and Y its likelihood ratios when moved by +1 and by −1.

// Laplace noise of scale 1/c. Outside ±1 both ratios are constant, inside one of them: a cell's ratios lie on a
// segment.
std::vector<RatioCell> laplace_cells(double c);

// Gaussian noise of deviation σ, the outputs below all cells first, those above them second, and cells up to `reach`
// deviations from +1. Beyond, X counts as 0, by which `lost` of its mean is; at the lower end both ratios stay what
// they are where cells begin, at least X and at most Y.
struct CellsAndLoss {
  std::vector<RatioCell> cells;
  double lost;
};
CellsAndLoss gaussian_cells(double sigma, double reach);

}  // namespace sotto::accountants

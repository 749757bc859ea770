#pragma once

namespace sotto::accountants {

// From ρ-zCDP to (ε, δ), rounded up:
//
//   ε = inf over α > 1 of  ρ α + log(1 − 1/α) − (log δ + log α) / (α − 1)
//
// (Canonne, Kamath, Steinke 2020, Proposition 12; Corollary 13), the order found over the reals: any order is a bound,
// the best one is met to 1e-14. 0 where the bound already holds there; +infinity where rho is or delta is 0.
double epsilon_from_zcdp(double rho, double delta);

// The same line solved for δ, at most 1; 0 only where rho is 0 or epsilon infinite.
double delta_from_zcdp(double rho, double epsilon);

// The same where D_α ≤ ρ α is known up to α = omega only: the infimum over 1 < α ≤ omega.
double epsilon_from_tcdp(double rho, double omega, double delta);
double delta_from_tcdp(double rho, double omega, double epsilon);

// The largest ρ whose epsilon_from_zcdp at delta is at most epsilon; 0 where none is. Throws invalid_argument unless
// epsilon > 0 and 0 < delta < 1.
double largest_rho(double epsilon, double delta);

}  // namespace sotto::accountants

// What 400 steps of DP-SGD cost, and what clipping does to one gradient: sotto's accountants and kernels from outside.
#include <cstdio>

#include "accountants/accountant.h"
#include "base/error.h"
#include "kernels/clip/clip.h"

int main() try {
  using namespace sotto;
  auto accountant = accountants::make_accountant("rdp", accountants::NeighbouringRelation::add_remove);
  const accountants::PoissonSampledGaussian step = {.noise_multiplier = 1.5, .sample_rate = 0.01};
  accountant->compose({step}, 400);
  std::printf("epsilon %.4f at delta 1e-05\n", accountant->epsilon(1e-5));

  const double squared_norm[] = {25};
  float factor[] = {0};
  kernels::clip_factors(Exec::cpu(1), {squared_norm, 1}, {}, 1.0, {factor, 1});
  std::printf("clip factor %.6f\n", factor[0]);
} catch (const sotto::Error& error) {
  std::fprintf(stderr, "plan_cost: %s\n", error.what());
  return sotto::exit_code(error.kind());
}

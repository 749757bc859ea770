#pragma once
#include <gtest/gtest.h>

#include <cmath>

#include "tests/engine/oracle.h"

namespace sotto {

// A sample with a NaN or an infinity, in its input or, of ids, in its loss, has a norm that is not finite; the others keep
// their norms and gradients bit for bit, and a clipped sum without it is the one of clean samples.
inline void expect_non_finite_sample_is_dropped(const Case& c, const Parameters& parameters, Tape& tape,
                                                const std::function<at::Tensor(const at::Tensor& x)>& losses) {
  constexpr int64_t batch = 4, bad = 2;
  const at::Tensor input = c.input(batch);
  for (const double poison : {double(NAN), double(INFINITY)}) {
    at::Tensor poisoned = input.clone(), loss_factors = at::ones({batch});
    if (input.is_floating_point())
      poisoned.select(0, bad).fill_(poison);
    else
      loss_factors[bad] = poison;
    const auto run = [&](const at::Tensor& x, const at::Tensor& f) {
      return measure(tape, parameters, batch, [&] { return losses(x) * f; });
    };
    const Measured clean = run(input, at::ones({batch})), got = run(poisoned, loss_factors);
    EXPECT_FALSE(std::isfinite(got.squared[bad].item<double>()));
    for (int64_t i = 0; i < batch; ++i)
      if (i != bad) {
        EXPECT_EQ(got.squared[i].item<double>(), clean.squared[i].item<double>());
        EXPECT_TRUE(got.gradients[i].equal(clean.gradients[i])) << "sample " << i;
      }
    at::Tensor factors = at::full({batch}, 0.37f);
    factors[bad] = 0.0f;
    const at::Tensor sum = clipped_sum(got.grads, parameters, factors);
    EXPECT_TRUE(sum.isfinite().all().item<bool>());
    EXPECT_TRUE(sum.equal(clipped_sum(clean.grads, parameters, factors))) << "what is dropped leaves no trace";
  }
}

}  // namespace sotto

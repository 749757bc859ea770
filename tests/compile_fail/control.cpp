// The right way, which compiles: what fails in wrong.cpp fails for the reasons given there.
#include "engine/optimizer.h"

sotto::ClippedSum right(sotto::Optimizer& optimizer, sotto::PrivateStep& step, sotto::ClippedSum sum,
                        sotto::ClippedSum other, const sotto::Noise& noise) {
  optimizer.step(step.next(0));
  sotto::PrivateGradient gradient = sotto::add_noise(std::move(sum), noise, 1);
  sotto::PrivateGradient moved = std::move(gradient);
  optimizer.step(std::move(moved));
  return other;
}

// Ways around the private step. The compiler must refuse each, in the line above its "expect" and with that message.
#include "engine/optimizer.h"

namespace sotto {

void gradient_that_nothing_has_clipped_or_noised(Optimizer& optimizer, const at::Tensor& gradient) {
  optimizer.step(gradient);
  // expect: cannot convert .const at::Tensor. to .sotto::PrivateGradient&&.
}

void clipped_but_without_noise(Optimizer& optimizer, ClippedSum sum) {
  optimizer.step(std::move(sum));
  // expect: cannot convert .*sotto::ClippedSum.* to .sotto::PrivateGradient&&.
}

PrivateGradient noise_of_one_s_own_choice(ClippedSum sum, const RunKey& key) {
  return PrivateGradient(std::move(sum), 0.0, key, Generator::chacha20, 0);
  // expect: PrivateGradient::PrivateGradient.* is private within this context
}

PrivateGradient less_noise_than_was_planned(ClippedSum sum, const PrivacyPlan& plan) {
  return add_noise(std::move(sum), {1e-9, 0.0, plan.noise().key()}, 0);
  // expect: Noise::Noise.* is private within this context
}

Clipping sensitivity_without_its_rounding() {
  return Clipping(1.0, 1, 1, 0.0, {}, false);
  // expect: Clipping::Clipping.* is private within this context
}

ClippedSum sum_that_nothing_has_clipped(std::vector<at::Tensor> gradients, const Clipping& clipping) {
  return ClippedSum(std::move(gradients), clipping, StepTrace());
  // expect: ClippedSum::ClippedSum.* is private within this context
}

at::Tensor look_at_what_is_not_noised(const ClippedSum& sum) {
  return sum.sums_[0];
  // expect: ClippedSum::sums_. is private within this context
}

void smaller_sensitivity(ClippedSum& sum) {
  sum.l2_sensitivity_ = 0;
  // expect: ClippedSum::l2_sensitivity_. is private within this context
}

RunKey key_that_takes_the_noise_off(const PrivateGradient& gradient) {
  return gradient.key_;
  // expect: PrivateGradient::key_. is private within this context
}

ClippedSum two_noises_for_one_charge(const ClippedSum& sum) {
  return sum;
  // expect: use of deleted function .*ClippedSum::ClippedSum.const
}

PrivateGradient two_steps_for_one_charge(const PrivateGradient& gradient) {
  return gradient;
  // expect: use of deleted function .*PrivateGradient::PrivateGradient.const
}

void gradient_in_hand_after_its_step(Optimizer& optimizer, PrivateGradient gradient) {
  optimizer.step(gradient);
  // expect: cannot bind rvalue reference of type .sotto::PrivateGradient&&. to lvalue
}

}  // namespace sotto

#pragma once
#include <string>
#include <string_view>
#include <variant>

namespace sotto::accountants {

// What "two data sets that differ in one unit" means. add_remove: the unit is there or not. zero_out: its contribution
// is replaced by zero. replace_one: by that of another unit.
enum class NeighbouringRelation { add_remove, replace_one, zero_out };

// Every unit joins the batch independently with probability `sample_rate`; each contributes a vector of L2 norm at most
// C; Gaussian noise of standard deviation noise_multiplier · C is added to the sum.
struct PoissonSampledGaussian {
  double noise_multiplier, sample_rate;
  bool operator==(const PoissonSampledGaussian&) const = default;
};

// The same without sampling: every unit takes part.
struct Gaussian {
  double noise_multiplier;
  bool operator==(const Gaussian&) const = default;
};

// As PoissonSampledGaussian, on a lattice: every contribution is a vector of integers whose squared norm is at most an
// integer S, and each entry of the sum gets discrete Gaussian noise, P(y) ∝ exp(-y² / 2σ²) on the integers with
// σ ≥ noise_multiplier · √S (Canonne, Kamath, Steinke 2020).
struct PoissonSampledDiscreteGaussian {
  double noise_multiplier, sample_rate;
  bool operator==(const PoissonSampledDiscreteGaussian&) const = default;
};

// One use of a mechanism, described completely: an accountant needs nothing else. A composition is a list of (event,
// count).
struct Event {
  std::variant<PoissonSampledGaussian, Gaussian, PoissonSampledDiscreteGaussian> mechanism;
  bool operator==(const Event&) const = default;
};

// Throws configuration, naming value and limit, unless noise_multiplier is finite and ≥ 0 and sample_rate is in [0, 1].
// A noise multiplier of 0 is a valid event whose epsilon is infinite.
void validate(const Event& event);

// Canonical JSON: sorted keys, no blanks, doubles in their shortest text that reads back to the same bits. to_json
// validates; event_from_json throws data on an unknown mechanism, an unknown or missing key, or an invalid value.
std::string to_json(const Event& event);
Event event_from_json(std::string_view text);

// "add_remove", "replace_one", "zero_out". Reading an unknown name throws configuration and lists the known ones.
std::string_view to_string(NeighbouringRelation relation);
NeighbouringRelation relation_from_string(std::string_view name);

}  // namespace sotto::accountants

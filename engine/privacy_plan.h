#pragma once
#include <string>

#include "accountants/event.h"
#include "base/random_key.h"
#include "engine/sampler.h"
#include "kernels/clip/clip.h"
#include "kernels/lattice/lattice.h"

namespace sotto {

// How gradients are bounded, all of it public.
struct ClippingConfig {
  std::string rule = "flat";   // flat, automatic, psac: kernels/clip/clip.h has the formulas
  double stability = 0.1;      // of psac
  std::string groups = "all";  // all parameters as one vector; layer: each layer to clip_norm / √(number of layers)
  // Not 0: clip_norm follows this quantile of the units' norms (Andrew et al. 2021), from a count that is noised, too.
  double quantile = 0;
  double learning_rate = 0.2;  // clip_norm is multiplied by exp(-learning_rate · (share below it - quantile))
  double count_noise = 0;      // standard deviation of the count's noise; 0: a twentieth of the expected batch
  bool adaptive() const { return quantile > 0; }
};

// Everything the guarantee depends on. Hashed into the ledger; two runs with equal configs and keys give equal results.
struct PrivacyConfig {
  std::string unit_of_privacy;  // the schema's unit column
  accountants::NeighbouringRelation relation = accountants::NeighbouringRelation::add_remove;
  std::string accountant = "rdp";
  double epsilon = 0;  // the run's allotment
  double delta = 0;
  double noise_multiplier = 0;  // 0: calibrated so that `steps` steps spend at most `epsilon`
  double clip_norm = 0;
  double sample_rate = 0;   // of each unit, each step
  int64_t public_size = 0;  // declared number of units: the update divides by sample_rate · public_size
  int64_t steps = 0;
  ClippingConfig clipping = {};
  // gaussian, in float32; discrete_gaussian, on int64 sums of integers (kernels/lattice/), which has no rounding to
  // hide
  std::string noise = "gaussian";
  // chacha20; or philox, whose noise can be predicted (kernels/noise/noise.h): for a run that says unsafe_generator,
  // too.
  std::string generator = "chacha20";
  bool unsafe_generator = false;
  bool on_lattice() const { return noise == "discrete_gaussian"; }
  bool predictable() const { return generator == "philox"; }
};

// What may change speed but neither the guarantee nor the ledger.
struct PerformanceConfig {
  int threads = 0;               // 0: all cores
  int64_t microbatch = 0;        // units a forward pass; 0: chosen
  bool auto_microbatch = false;  // halve it where memory runs out
  std::string device = "cpu";
  int64_t storage_limit = int64_t{1} << 30;  // bytes kept for norms and clipped sums
  std::string planner = "measured";          // norm methods by their times on this machine; or by "shape" alone
  int streams = 2;                           // of a GPU: norms beside the backward pass; or 1
  std::string precision = "float32";         // of the operands of matrix products; or bfloat16
  bool record_passes = false;                // full micro-batches as one recorded piece of work
};

// How each unit's gradient is bounded. Only a PrivacyPlan makes one, so that none is wider than what was accounted for.
class Clipping {
 public:
  double clip_norm() const { return clip_norm_; }
  int64_t microbatch() const { return microbatch_; }  // units a forward pass
  // More units than this are drawn with probability below 1e-18 a step.
  int64_t batch_cap() const { return batch_cap_; }
  // Rounding moves a sum of clipped gradients by at most rounding · clip_norm in L2.
  double rounding() const { return rounding_; }
  // clip_norm, plus the rounding of the sum with the unit and of the sum without it.
  double l2_sensitivity() const { return clip_norm_ * (1 + 2 * rounding_); }
  const kernels::ClipFunction& function() const { return function_; }
  bool by_layer() const { return by_layer_; }
  bool on_lattice() const { return lattice_bound_ > 0; }
  // The integers of which a clipped gradient is made; without a bound where it is none.
  kernels::Lattice lattice() const {
    return on_lattice() ? kernels::Lattice{lattice_bound_, kernels::lattice_step(lattice_bound_, clip_norm_)}
                        : kernels::Lattice{};
  }
  // The same at another clip norm: sensitivity, and with it the noise, follow.
  Clipping at(double clip_norm) const {
    Clipping other = *this;
    other.clip_norm_ = clip_norm;
    return other;
  }

 private:
  friend class PrivacyPlan;
  friend struct PlanPartsForTests;  // defined in tests/ alone: the layers test looks
  Clipping(double clip_norm, int64_t microbatch, int64_t batch_cap, double rounding,
           const kernels::ClipFunction& function, bool by_layer, kernels::Uint128 lattice_bound = 0)
      : clip_norm_(clip_norm),
        microbatch_(microbatch),
        batch_cap_(batch_cap),
        rounding_(rounding),
        function_(function),
        by_layer_(by_layer),
        lattice_bound_(lattice_bound) {}
  double clip_norm_;
  int64_t microbatch_, batch_cap_;
  double rounding_;
  kernels::ClipFunction function_;
  bool by_layer_;
  kernels::Uint128 lattice_bound_;
};

// How a clipped sum is noised. Only a PrivacyPlan makes one, so that none is smaller than what was accounted for.
class Noise {
 public:
  double noise_multiplier() const { return noise_multiplier_; }  // standard deviation ÷ l2_sensitivity
  double count_stddev() const { return count_stddev_; }          // of the count that an adaptive clip norm follows
  const RunKey& key() const { return key_; }
  bool on_lattice() const { return on_lattice_; }  // discrete, for sums that are
  Generator generator() const { return generator_; }

 private:
  friend class PrivacyPlan;
  friend struct PlanPartsForTests;
  Noise(double noise_multiplier, double count_stddev, const RunKey& key, bool on_lattice = false,
        Generator generator = Generator::chacha20)
      : noise_multiplier_(noise_multiplier),
        count_stddev_(count_stddev),
        key_(key),
        on_lattice_(on_lattice),
        generator_(generator) {}
  double noise_multiplier_, count_stddev_;
  RunKey key_;
  bool on_lattice_;
  Generator generator_;
};

// What the checks found out about a model: public, since they ran on synthetic samples.
struct ModelStructure {
  int64_t parameter_elements = 0;  // noisy values a step
  int64_t rows_per_unit = 1;       // the longest sequence of rows that one unit brings to a layer
  int64_t positions_per_unit = 1;  // of the largest convolution's output: rows, where its factors are kept
  bool tied = false;               // some table is an embedding and a linear weight at once
};

// The one source of sampler, clipper, noise and the event that the ledger is charged with, so that they cannot
// disagree.
class PrivacyPlan {
 public:
  // Calibrates the noise when asked to and fixes the public caps. The tails that the generator cannot reach, or its
  // distance from the exact law, are taken off delta. Throws configuration with value, limit and way out.
  PrivacyPlan(const PrivacyConfig& config, int64_t microbatch, const RunKey& key, const ModelStructure& structure);

  const PrivacyConfig& config() const { return config_; }  // with the calibrated noise multiplier
  PoissonSampler sampler(int64_t units) const { return {key_, config_.sample_rate, units}; }
  const Clipping& clipping() const { return clipping_; }
  Noise noise() const {
    return {gradient_noise_multiplier_, config_.clipping.count_noise, key_, config_.on_lattice(),
            config_.predictable() ? Generator::philox : Generator::chacha20};
  }
  accountants::Event event() const;
  // delta less the probability that what the generator cuts off or rounds matters: what the accountant is asked for.
  double accounting_delta() const { return accounting_delta_; }
  // The divisor of the clipped sum, a public number.
  double expected_batch() const { return config_.sample_rate * static_cast<double>(config_.public_size); }
  // SHA-256 of every field of the config.
  std::string hash() const;

 private:
  PrivacyConfig config_;
  RunKey key_;
  Clipping clipping_;
  double accounting_delta_;
  double gradient_noise_multiplier_;  // more than config().noise_multiplier where the count takes a share
};

}  // namespace sotto

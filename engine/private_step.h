#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "base/random_key.h"
#include "cuda/exec.h"
#include "engine/pass_graph.h"
#include "engine/privacy_plan.h"
#include "engine/sampler.h"
#include "engine/step_trace.h"
#include "engine/tape/grad_samples.h"

namespace sotto {

class PrivateGradient;

// Per-sample gradients of some units of a batch. Called once per micro-batch.
using GradientSource = std::function<GradSamples(const std::vector<int64_t>& units)>;
// The same of units whose numbers are a tensor, int64 [n] where the model is. No host code decides anything by them.
using RecordableSource = std::function<GradSamples(const at::Tensor& units)>;

// Passes over full micro-batches that are recorded, and the sums that they add to, which stay where they are from step
// to step.
struct RecordedPasses {
  std::shared_ptr<std::vector<at::Tensor>> sums;
  PassGraph graph;
};

// Σ over the units of a batch of their clipped gradients, and how far one unit can move it in L2, rounding included.
// Only clip() makes one; only add_noise() opens it.
class ClippedSum {
 public:
  ClippedSum(ClippedSum&&) = default;
  ClippedSum& operator=(ClippedSum&&) = default;
  double l2_sensitivity() const { return l2_sensitivity_; }
  // Where the sums are integers: no unit moves them by more than its squared_bound.
  const kernels::Lattice& lattice() const { return lattice_; }
  bool on_lattice() const { return lattice_.squared_bound > 0; }

 private:
  ClippedSum(std::vector<at::Tensor> sums, const Clipping& clipping, StepTrace trace)
      : sums_(std::move(sums)),
        l2_sensitivity_(clipping.l2_sensitivity()),
        clip_norm_(clipping.clip_norm()),
        trace_(std::move(trace)),
        lattice_(clipping.lattice()) {}
  friend ClippedSum clip(const Exec&, const Parameters&, const Clipping&, const Batch&, const GradientSource&,
                         StepTrace&, RecordedPasses*);
  friend double noised_count(const ClippedSum&, const Noise&, uint64_t);
  friend class Optimizer;
  friend struct PlanPartsForTests;  // defined in tests/ alone: the layers test looks
  std::vector<at::Tensor> sums_;
  double l2_sensitivity_, clip_norm_;
  StepTrace trace_;
  kernels::Lattice lattice_;
};

// A clipped sum that will be noised as it is read: the optimizer's kernel draws the noise in registers. Nothing but
// Optimizer::step can open it, and only once.
class PrivateGradient {
 public:
  PrivateGradient(PrivateGradient&&) = default;
  PrivateGradient& operator=(PrivateGradient&&) = default;

 private:
  PrivateGradient(ClippedSum&& sum, double noise_stddev, const RunKey& key, Generator generator, uint64_t step)
      : sum_(std::move(sum)), noise_stddev_(noise_stddev), key_(key), generator_(generator), step_(step) {}
  friend PrivateGradient add_noise(ClippedSum&&, const Noise&, uint64_t);
  friend class Optimizer;
  ClippedSum sum_;
  double noise_stddev_;
  RunKey key_;
  Generator generator_;
  uint64_t step_;
};

// The group of each parameter: all in one, or one a layer (the part of a parameter's name before its last dot).
std::vector<int64_t> clipping_groups(const Parameters& parameters, const Clipping& clipping);

// Σ_i f_i g_i over the units of `batch`, f by the clipping's function, micro-batch by micro-batch into one accumulator.
// With K groups, each group of parameters is clipped to clip_norm / √K by itself, which is clip_norm for all together.
// Adding or removing one unit moves it by at most l2_sensitivity() in L2: norms are upper bounds and the rounding of
// the sum is in the sensitivity. On a lattice it is a sum of integers, by which a unit moves it exactly: the same bits
// for any micro-batches and any order. A unit with a NaN or an infinity contributes exactly 0 and is counted. The host
// waits for nothing: what it may want to know later goes to `trace`. With `recorded`, full micro-batches pass there,
// and the sums are its own until the next call. Throws invalid_argument when a unit is in the batch twice, internal
// when the batch exceeds the public cap.
ClippedSum clip(const Exec& exec, const Parameters& parameters, const Clipping& clipping, const Batch& batch,
                const GradientSource& gradients, StepTrace& trace, RecordedPasses* recorded = nullptr);

// Adds N(0, (noise_multiplier · l2_sensitivity)²) to every entry, from the generator's stream (noise, step, parameter);
// on a lattice the discrete Gaussian of at least that standard deviation, from the stream (lattice_noise, step,
// parameter).
// Throws invalid_argument where noise and sum are not of one kind or the lattice is too wide for the noise.
PrivateGradient add_noise(ClippedSum&& sum, const Noise& noise, uint64_t step);

// How many units of the batch were within the clip norm, less half of the batch, plus N(0, count_stddev²): a release
// that the step's event pays for together with the gradient. On a lattice, discrete noise on a whole number of points.
double noised_count(const ClippedSum& sum, const Noise& noise, uint64_t step);

// One step of DP-SGD (Abadi et al. 2016, algorithm 1, with Poisson sampling): the page an auditor reads.
class PrivateStep {
 public:
  // `charge(step)` makes the step's event durable in the ledger, or throws budget_exhausted.
  PrivateStep(const Exec& exec, const Parameters& parameters, const PrivacyPlan& plan, int64_t units,
              std::function<void(uint64_t step)> charge, GradientSource gradients);

  // From now on full micro-batches are recorded and repeated. False, and nothing is, where the host has a part in them:
  // an adaptive clip norm is another in each step, and a lattice's roundings are decided there.
  bool record_passes(RecordableSource source);
  // Null unless they are.
  const PassGraph* passes() const { return recorded_ ? &recorded_->graph : nullptr; }

  // The next step's private gradient. Throws before anything is read
  // when the charge is refused.
  PrivateGradient next(uint64_t step);
  // Of the last step. On a device it waits for the step's work.
  StepDiagnostics diagnostics() const { return trace_.diagnostics(); }
  // The next step's clip norm: the plan's, or where an adaptive one has come to. A function of noised counts.
  double clip_norm() const { return clipping_.clip_norm(); }
  void set_clip_norm(double clip_norm) { clipping_ = clipping_.at(clip_norm); }

 private:
  Exec exec_;
  const Parameters& parameters_;
  PoissonSampler sampler_;
  Clipping clipping_;
  ClippingConfig config_;
  double expected_batch_;
  Noise noise_;
  std::function<void(uint64_t)> charge_;
  GradientSource gradients_;
  StepTrace trace_;
  std::unique_ptr<RecordedPasses> recorded_;
};

}  // namespace sotto

#include "engine/private_step.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "engine/lattice_sum.h"
#include "engine/site.h"
#include "kernels/clip/clip.h"
#include "kernels/lattice/discrete_gaussian.h"
#include "kernels/noise/noise.h"
#include "kernels/rounding.h"

namespace sotto {
namespace {

// What happens to the gradients of some units, the same in every micro-batch of a step.
class UnitClip {
 public:
  UnitClip(const Exec& exec, const Parameters& parameters, const Clipping& clipping)
      : exec_(exec), parameters_(parameters), clipping_(clipping), groups_(clipping_groups(parameters, clipping)) {
    group_count_ = 1 + *std::ranges::max_element(groups_);
    // The root rounds by less than the last factor takes off.
    group_norm_ =
        clipping.clip_norm() / std::sqrt(static_cast<double>(group_count_)) * (group_count_ == 1 ? 1.0 : 1 - 0x1p-50);
  }

  // Those that are not there yet, of zeros.
  void make_sums(std::vector<at::Tensor>& sums) const {
    for (int64_t k = std::ssize(sums); k < parameters_.size(); ++k)
      sums.push_back(at::zeros_like(parameters_.tensor(k), clipping_.on_lattice() ? at::kLong : at::kFloat).detach());
  }

  struct Units {
    at::Tensor norms;    // [units]
    at::Tensor factors;  // of the group that is cut most
  };
  // Adds the units' clipped gradients to the sums.
  Units add(GradSamples& grads, std::vector<at::Tensor>& sums) const {
    const at::TensorOptions options = parameters_.tensor(0).options().requires_grad(false);
    at::Tensor squared = at::zeros({group_count_, grads.batch}, options.dtype(at::kDouble));
    at::Tensor factors = at::empty({group_count_, grads.batch}, options.dtype(at::kFloat));
    add_squared_norms(exec_, parameters_, groups_, grads, squared);
    // A unit that is not finite in one group is dropped from all.
    if (group_count_ > 1) squared.masked_fill_(squared.sum(0).isfinite().logical_not(), NAN);
    kernels::clip_factors(exec_, {squared.const_data_ptr<double>(), squared.numel()}, clipping_.function(), group_norm_,
                          {factors.mutable_data_ptr<float>(), factors.numel()});
    make_sums(sums);
    if (clipping_.on_lattice()) {
      add_on_lattice(exec_, grads, groups_, factors, clipping_.lattice(), sums);
    } else {
      add_clipped(exec_, grads, groups_, factors, sums);
    }
    return {squared.sum(0).sqrt_(), std::get<0>(factors.min(0))};
  }

 private:
  Exec exec_;
  const Parameters& parameters_;
  Clipping clipping_;
  std::vector<int64_t> groups_;
  int64_t group_count_;
  double group_norm_;
};

}  // namespace

PrivateStep::PrivateStep(const Exec& exec, const Parameters& parameters, const PrivacyPlan& plan, int64_t units,
                         std::function<void(uint64_t step)> charge, GradientSource gradients)
    : exec_(exec),
      parameters_(parameters),
      sampler_(plan.sampler(units)),
      clipping_(plan.clipping()),
      config_(plan.config().clipping),
      expected_batch_(plan.expected_batch()),
      noise_(plan.noise()),
      charge_(std::move(charge)),
      gradients_(std::move(gradients)) {}

bool PrivateStep::record_passes(RecordableSource source) {
  if (config_.adaptive() || clipping_.on_lattice()) return false;
  const auto sums = std::make_shared<std::vector<at::Tensor>>();
  const UnitClip unit_clip(exec_, parameters_, clipping_);
  unit_clip.make_sums(*sums);
  auto pass = [sums, unit_clip, gradients = std::move(source)](const at::Tensor& units) -> std::vector<at::Tensor> {
    const at::NoGradGuard no_grad;
    GradSamples grads = gradients(units);
    const auto [norms, factors] = unit_clip.add(grads, *sums);
    return {norms, factors, grads.losses};
  };
  recorded_.reset(new RecordedPasses{sums, PassGraph(std::move(pass))});
  return true;
}

PrivateGradient PrivateStep::next(uint64_t step) {
  charge_(step);                            // durable before anything private is read
  const Batch batch = sampler_.draw(step);  // exactly the sampling that the charged event claims
  ClippedSum sum = clip(exec_, parameters_, clipping_, batch, gradients_, trace_, recorded_.get());
  if (config_.adaptive()) {  // Andrew et al. 2021, algorithm 1; public numbers but for the noised count
    const double share = 0.5 + noised_count(sum, noise_, step) / expected_batch_;
    const double moved = clipping_.clip_norm() * std::exp(-config_.learning_rate * (share - config_.quantile));
    set_clip_norm(std::clamp(moved, kernels::kSmallestClipNorm, kernels::kLargestClipNorm));
  }
  return add_noise(std::move(sum), noise_, step);
}

ClippedSum clip(const Exec& exec, const Parameters& parameters, const Clipping& clipping, const Batch& batch,
                const GradientSource& gradients, StepTrace& trace, RecordedPasses* recorded) {
  if (batch.size() > clipping.batch_cap())
    throw Error(ErrorKind::internal, cat("a Poisson batch of ", batch.size(), " units exceeds the public cap of ",
                                         clipping.batch_cap(), ", which happens with probability below 1e-18"));
  for (size_t i = 1; i < batch.units.size(); ++i)
    require(batch.units[i - 1] < batch.units[i], "unit ", batch.units[i], " is in the batch twice or out of order");

  trace = {};
  const at::NoGradGuard no_grad;
  const UnitClip unit_clip(exec, parameters, clipping);
  std::vector<at::Tensor> sums;  // made as late as possible: the backward pass is when memory is scarce
  if (recorded) {
    // Else that gradient would become this one, under its own step's noise.
    for (const at::Tensor& sum : *recorded->sums)
      require(sum.use_count() == 1, "the last step's private gradient must be used before the next one is asked for");
    sums = *recorded->sums;
    for (const at::Tensor& sum : sums) sum.zero_();
  }
  for (size_t first = 0; first < batch.units.size(); first += static_cast<size_t>(clipping.microbatch())) {
    const size_t last = std::min(batch.units.size(), first + static_cast<size_t>(clipping.microbatch()));
    const std::vector<int64_t> units = {batch.units.begin() + static_cast<std::ptrdiff_t>(first),
                                        batch.units.begin() + static_cast<std::ptrdiff_t>(last)};
    if (recorded && std::ssize(units) == clipping.microbatch()) {
      const std::vector<at::Tensor> found = recorded->graph.run(send(at::tensor(units), sums[0].device()));
      trace.add(found[0], found[1]);
      trace.add_losses(found[2]);
      continue;
    }
    GradSamples grads = gradients(units);
    require(grads.batch == std::ssize(units) && std::ssize(grads.parameters) == parameters.size(),
            "need a gradient a unit: ", grads.batch, " for ", units.size(), " units");
    const auto add = [&](GradSamples& samples) {
      const auto [norms, factors] = unit_clip.add(samples, sums);
      trace.add(norms, factors);
    };
    if (clipping.on_lattice()) {  // norms and integers are those of the same rows
      const int64_t block = samples_at_once(parameters);
      for (int64_t begin = 0; begin < grads.batch; begin += block) {
        GradSamples rows = stored_rows(parameters, grads, begin, std::min(block, grads.batch - begin));
        add(rows);
      }
    } else {
      add(grads);
    }
    trace.add_losses(grads.losses);
  }
  unit_clip.make_sums(sums);
  return ClippedSum(std::move(sums), clipping, trace);
}

std::vector<int64_t> clipping_groups(const Parameters& parameters, const Clipping& clipping) {
  std::vector<int64_t> groups(static_cast<size_t>(parameters.size()), 0);
  if (!clipping.by_layer()) return groups;
  std::map<std::string, int64_t> layers;
  for (int64_t k = 0; k < parameters.size(); ++k) {
    const std::string& name = parameters.name(k);
    const std::string layer = name.substr(0, name.find_last_of('.') == std::string::npos ? 0 : name.find_last_of('.'));
    groups[static_cast<size_t>(k)] = layers.emplace(layer, static_cast<int64_t>(layers.size())).first->second;
  }
  return groups;
}

double noised_count(const ClippedSum& sum, const Noise& noise, uint64_t step) {
  const double below = sum.trace_.below(sum.clip_norm_);
  if (noise.on_lattice()) {
    // A unit moves the count by ½ and the points by this many.
    const double bound = static_cast<double>(kernels::lattice_bound(2 * noise.count_stddev()));
    const double half = std::floor(std::sqrt(bound) * (1 - 0x1p-50));
    int64_t points = static_cast<int64_t>(2 * below) * static_cast<int64_t>(half);
    const auto behind_parameters = static_cast<uint32_t>(sum.sums_.size());
    kernels::add_discrete_gaussian(Exec::cpu(1), noise.key().stream(Purpose::lattice_noise, step, behind_parameters),
                                   kernels::kLatticeScale, {&points, 1});
    return static_cast<double>(points) / (2 * half);
  }
  float normal = 0;
  kernels::fill_gaussian(Exec::cpu(1), noise.key().stream(Purpose::clip_quantile, step), 1.0, {&normal, 1});
  return below + noise.count_stddev() * static_cast<double>(normal);
}

PrivateGradient add_noise(ClippedSum&& sum, const Noise& noise, uint64_t step) {
  require(sum.on_lattice() == noise.on_lattice(), "integer sums need discrete noise, and no others do");
  if (sum.on_lattice()) {
    const double reached = kernels::lattice_noise_multiplier(sum.lattice().squared_bound);
    require(reached >= noise.noise_multiplier(), "the noise multiplier is ", noise.noise_multiplier(),
            ", but the lattice's noise is ", reached, " times its bound");
  }
  const double stddev = noise.noise_multiplier() * sum.l2_sensitivity();
  return PrivateGradient(std::move(sum), stddev, noise.key(), noise.generator(), step);
}

}  // namespace sotto

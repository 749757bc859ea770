#include "engine/privacy_plan.h"

#include <algorithm>
#include <cmath>

#include "accountants/calibrate.h"
#include "base/error.h"
#include "base/hash.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/noise/truncation.h"
#include "kernels/rounding.h"

namespace sotto {
namespace {

// The size that a Poisson batch exceeds with probability below 1e-18 (Bernstein: exp(-t² / (2μ + 2t/3))). μ allows for
// a data set a quarter larger than declared, since the true size is private.
int64_t batch_cap(double expected_batch) {
  const double mean = 1.25 * expected_batch, log_probability = std::log(1e18);
  return static_cast<int64_t>(std::ceil(mean + log_probability / 3 +
                                        std::sqrt(log_probability * log_probability / 9 + 2 * mean * log_probability)));
}

// rounding · clip_norm bounds how far float32 moves the sum of a batch: the largest bound of the kernels that sum.
double sum_rounding(int64_t cap, int64_t calls, const ModelStructure& structure) {
  const double slack = std::max(
      {kernels::clipped_outer_slack(cap, 1, calls), kernels::clipped_outer_slack(cap, structure.rows_per_unit, calls),
       kernels::clipped_rows_slack(cap, calls), kernels::clipped_embedding_slack(cap, calls)});
  return slack * static_cast<double>(cap) * (structure.tied ? kernels::kTiedSlackFactor : 1.0);
}

}  // namespace

PrivacyPlan::PrivacyPlan(const PrivacyConfig& config, int64_t microbatch, const RunKey& key,
                         const ModelStructure& structure)
    : config_(config), key_(key), clipping_(config.clip_norm, microbatch, 0, 0) {
  require(microbatch > 0, cat("a micro-batch needs at least one unit, got ", microbatch));
  const auto check = [](bool ok, const char* name, auto value, const char* limit) {
    if (!ok) throw Error(ErrorKind::configuration, cat(name, " must be ", limit, ", got ", value));
  };
  check(config.clip_norm >= kernels::kSmallestClipNorm && config.clip_norm <= kernels::kLargestClipNorm,
        "privacy.clip_norm", config.clip_norm, "between 1e-18 and 1e18");
  check(config.sample_rate > 0 && config.sample_rate <= 1, "privacy.sample_rate", config.sample_rate, "in (0, 1]");
  check(config.delta > 0 && config.delta < 1, "privacy.delta", config.delta, "between 0 and 1");
  check(config.noise_multiplier >= 0 && std::isfinite(config.noise_multiplier), "privacy.noise_multiplier",
        config.noise_multiplier, "positive (or absent: calibrated to privacy.epsilon)");
  check(config.public_size > 0, "privacy.public_size", config.public_size, "at least 1");
  check(config.steps > 0, "train.steps", config.steps, "at least 1");
  // More than the truncation takes in any sensible run; where it is not enough, the run is refused.
  constexpr double kTruncationShare = 1e-4;
  accounting_delta_ = config.delta * (1 - kTruncationShare);
  if (config_.noise_multiplier == 0)
    config_.noise_multiplier = accountants::noise_multiplier_for(config.epsilon, accounting_delta_, config.sample_rate,
                                                                 config.steps, config.accountant);
  const double truncation =
      kernels::gaussian_truncation_delta(structure.parameter_elements, config.steps, config_.noise_multiplier);
  if (truncation > config.delta * kTruncationShare)
    throw Error(
        ErrorKind::configuration,
        cat("the noise generator's tails end where normals still have probability ", truncation, " over ", config.steps,
            " steps, which is too much for privacy.delta = ", config.delta, "; raise delta or the noise multiplier"));
  const int64_t cap = batch_cap(expected_batch());
  const int64_t calls = (cap + microbatch - 1) / microbatch;
  clipping_ = Clipping(config.clip_norm, microbatch, cap, sum_rounding(cap, calls, structure));
  if (clipping_.rounding() > 0.25)
    throw Error(ErrorKind::configuration, cat("with batches of up to ", cap, " units, float32 sums can round by ",
                                              clipping_.rounding(), " times clip_norm; lower privacy.sample_rate"));
}

accountants::Event PrivacyPlan::event() const {
  return {accountants::PoissonSampledGaussian{config_.noise_multiplier, config_.sample_rate}};
}

std::string PrivacyPlan::hash() const {
  std::ostringstream text;
  text << std::hexfloat << "unit " << config_.unit_of_privacy << "\nrelation "
       << accountants::to_string(config_.relation) << "\naccountant " << config_.accountant << "\nepsilon "
       << config_.epsilon << "\ndelta " << config_.delta << "\nnoise_multiplier " << config_.noise_multiplier
       << "\nclip_norm " << config_.clip_norm << "\nsample_rate " << config_.sample_rate << "\npublic_size "
       << config_.public_size << "\nsteps " << config_.steps << "\n";
  return to_hex(sha256(text.str()));
}

}  // namespace sotto

#include "engine/privacy_plan.h"

#include <algorithm>
#include <cmath>

#include "accountants/calibrate.h"
#include "base/error.h"
#include "base/hash.h"
#include "kernels/clipped_sum/clipped_sum.h"
#include "kernels/lattice/discrete_gaussian.h"
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

kernels::ClipFunction clip_function(const ClippingConfig& clipping) {
  using Rule = kernels::ClipRule;
  const Rule rule = clipping.rule == "flat" ? Rule::flat : clipping.rule == "psac" ? Rule::psac : Rule::automatic;
  return {rule, clipping.stability};
}

// Gradient and count are one release of a Gaussian with multiplier z: z⁻² = z_gradient⁻² + (2·count_noise)⁻², since a
// unit moves the count, of ½ or -½ a unit, by ½ (Andrew et al. 2021, theorem 1).
double gradient_share(double noise_multiplier, double count_noise) {
  const double count_multiplier = 2 * count_noise;
  const double rest = 1 / (noise_multiplier * noise_multiplier) - 1 / (count_multiplier * count_multiplier);
  if (!(rest > 0))
    throw Error(ErrorKind::configuration, cat("privacy.clip_count_noise = ", count_noise,
                                              " leaves nothing for the gradients: it must be above half the noise "
                                              "multiplier, ",
                                              noise_multiplier / 2, "; raise it, or privacy.sample_rate"));
  return (1 + 0x1p-50) / std::sqrt(rest);
}

// rounding · clip_norm bounds how far float32 moves the sum of a batch: the largest bound of the kernels that sum.
double sum_rounding(int64_t cap, int64_t calls, const ModelStructure& structure) {
  const double slack = std::max(
      {kernels::clipped_outer_slack(cap, 1, calls), kernels::clipped_outer_slack(cap, structure.rows_per_unit, calls),
       kernels::clipped_outer_slack(cap, structure.positions_per_unit, calls), kernels::clipped_rows_slack(cap, calls),
       kernels::clipped_embedding_slack(cap, calls)});
  return slack * static_cast<double>(cap) * (structure.tied ? kernels::kTiedSlackFactor : 1.0);
}

template <class T>
void check(bool ok, const char* name, const T& value, const char* limit) {
  if (!ok) throw Error(ErrorKind::configuration, cat(name, " must be ", limit, ", got ", value));
}

void check_generator_choice(const PrivacyConfig& c) {
  check(c.generator == "chacha20" || c.predictable(), "privacy.generator", c.generator, "one of chacha20, philox");
  if (!c.predictable()) return;
  if (c.on_lattice())
    throw Error(ErrorKind::configuration,
                "privacy.generator = \"philox\" is for privacy.noise = \"gaussian\" alone: noise on a lattice is drawn "
                "from ChaCha20; leave privacy.generator out");
  if (!c.unsafe_generator)
    throw Error(ErrorKind::configuration,
                "privacy.generator = \"philox\" is not a cryptographic generator: whoever sees some of its noise can "
                "find its key of 64 bits and subtract the rest, so that the run has no guarantee; leave it out for "
                "chacha20, or set privacy.unsafe_generator = true and the certificate will say so");
}

void check_clipping(const ClippingConfig& c) {
  check(c.rule == "flat" || c.rule == "automatic" || c.rule == "psac", "privacy.clipping", c.rule,
        "one of flat, automatic, psac");
  check(c.groups == "all" || c.groups == "layer", "privacy.clip_groups", c.groups, "one of all, layer");
  check(c.stability > 0 && c.stability <= 1, "privacy.clip_stability", c.stability, "in (0, 1]");
  check(c.quantile >= 0 && c.quantile < 1, "privacy.clip_quantile", c.quantile, "between 0 (off) and 1");
  check(c.learning_rate > 0 && c.learning_rate <= 10, "privacy.clip_learning_rate", c.learning_rate, "in (0, 10]");
  check(c.count_noise >= 0 && std::isfinite(c.count_noise), "privacy.clip_count_noise", c.count_noise,
        "positive (or absent: a twentieth of the expected batch)");
  if (c.adaptive() && (c.rule != "flat" || c.groups != "all"))
    throw Error(
        ErrorKind::configuration,
        cat("privacy.clip_quantile follows the norm of the whole gradient under the flat rule, got privacy.clipping = ",
            c.rule, " and privacy.clip_groups = ", c.groups, "; leave those two out, or the quantile"));
}

// What is wrong with the generator's law, as a share of delta.
double generator_delta(const PrivacyConfig& config, const ModelStructure& structure) {
  if (!config.on_lattice())
    return kernels::gaussian_truncation_delta(structure.parameter_elements, config.steps, config.noise_multiplier);
  return kernels::discrete_gaussian_delta(structure.parameter_elements + 1, config.steps, config.epsilon);  // the count
}

void check_generator(const PrivacyConfig& config, double delta, double limit) {
  if (delta <= limit) return;
  if (config.on_lattice())
    throw Error(ErrorKind::configuration,
                cat("the discrete noise is within 2^-119 of its law, which at epsilon ", config.epsilon, " over ",
                    config.steps, " steps takes ", delta, " of privacy.delta = ", config.delta,
                    ", and that is too much; lower privacy.epsilon or set privacy.noise = \"gaussian\""));
  throw Error(
      ErrorKind::configuration,
      cat("the noise generator's tails end where normals still have probability ", delta, " over ", config.steps,
          " steps, which is too much for privacy.delta = ", config.delta, "; raise delta or the noise multiplier"));
}

// A lattice for sums of `cap` units, under noise of this multiple of a unit's bound.
kernels::Uint128 lattice_bound(const char* name, double noise_multiplier, int64_t cap) {
  check(noise_multiplier >= kernels::kSmallestLatticeNoise && noise_multiplier <= kernels::kLargestLatticeNoise, name,
        noise_multiplier, "between 0.001 and 1e9 where privacy.noise = \"discrete_gaussian\"");
  const kernels::Uint128 bound = kernels::lattice_bound(noise_multiplier);
  if (cap > kernels::lattice_capacity(bound))
    throw Error(ErrorKind::configuration, cat("with ", name, " = ", noise_multiplier, ", int64 sums hold ",
                                              kernels::lattice_capacity(bound), " units, but batches have up to ", cap,
                                              "; lower privacy.sample_rate, or set privacy.noise = \"gaussian\""));
  return bound;
}

}  // namespace

PrivacyPlan::PrivacyPlan(const PrivacyConfig& config, int64_t microbatch, const RunKey& key,
                         const ModelStructure& structure)
    : config_(config), key_(key), clipping_(config.clip_norm, microbatch, 0, 0, {}, false) {
  require(microbatch > 0, "a micro-batch needs at least one unit, got ", microbatch);
  check(config.clip_norm >= kernels::kSmallestClipNorm && config.clip_norm <= kernels::kLargestClipNorm,
        "privacy.clip_norm", config.clip_norm, "between 1e-18 and 1e18");
  check(config.sample_rate > 0 && config.sample_rate <= 1, "privacy.sample_rate", config.sample_rate, "in (0, 1]");
  check(config.delta > 0 && config.delta < 1, "privacy.delta", config.delta, "between 0 and 1");
  check(config.noise_multiplier >= 0 && std::isfinite(config.noise_multiplier), "privacy.noise_multiplier",
        config.noise_multiplier, "positive (or absent: calibrated to privacy.epsilon)");
  check(config.public_size > 0, "privacy.public_size", config.public_size, "at least 1");
  check(config.steps > 0, "train.steps", config.steps, "at least 1");
  check(config.noise == "gaussian" || config.on_lattice(), "privacy.noise", config.noise,
        "one of gaussian, discrete_gaussian");
  check_generator_choice(config);
  check_clipping(config.clipping);
  // Of delta, for the generator's tails: the first share that is enough. The last one is for 10¹² noised values at
  // δ = 1e-5; beyond it the run is refused.
  double share = 0;
  for (const double candidate : {1e-4, 1e-3, 1e-2}) {
    share = candidate;
    accounting_delta_ = config.delta * (1 - share);
    if (config.noise_multiplier == 0) {
      const auto charged = [this](double noise_multiplier) {
        config_.noise_multiplier = noise_multiplier;
        return event();
      };
      config_.noise_multiplier = accountants::noise_multiplier_for(config.epsilon, accounting_delta_, config.steps,
                                                                   charged, config.accountant);
    }
    if (generator_delta(config_, structure) <= config.delta * share) break;
  }
  ClippingConfig& clip = config_.clipping;
  if (clip.adaptive() && clip.count_noise == 0) clip.count_noise = expected_batch() / 20;
  gradient_noise_multiplier_ =
      clip.adaptive() ? gradient_share(config_.noise_multiplier, clip.count_noise) : config_.noise_multiplier;
  check_generator(config_, generator_delta(config_, structure), config.delta * share);
  const int64_t cap = batch_cap(expected_batch());
  if (config_.on_lattice()) {
    if (clip.adaptive()) lattice_bound("2 · privacy.clip_count_noise", 2 * clip.count_noise, cap);
    clipping_ = Clipping(config.clip_norm, microbatch, cap, 0, clip_function(config.clipping),
                         config.clipping.groups == "layer",
                         lattice_bound("privacy.noise_multiplier", gradient_noise_multiplier_, cap));
    return;
  }
  const int64_t calls = (cap + microbatch - 1) / microbatch;
  clipping_ = Clipping(config.clip_norm, microbatch, cap, sum_rounding(cap, calls, structure),
                       clip_function(config.clipping), config.clipping.groups == "layer");
  if (clipping_.rounding() > 0.25)
    throw Error(ErrorKind::configuration, cat("with batches of up to ", cap, " units, float32 sums can round by ",
                                              clipping_.rounding(), " times clip_norm; lower privacy.sample_rate",
                                              calls > 1 ? " or raise performance.microbatch" : ""));
}

accountants::Event PrivacyPlan::event() const {
  // What "pld" has a bound for says how fine the lattice is; the other event is what older ledgers have.
  if (config_.on_lattice() && config_.accountant == "pld")
    return {accountants::PoissonSampledLatticeGaussian{config_.noise_multiplier, config_.sample_rate,
                                                       kernels::lattice_noise_multiplier(1)}};
  if (config_.on_lattice())
    return {accountants::PoissonSampledDiscreteGaussian{config_.noise_multiplier, config_.sample_rate}};
  return {accountants::PoissonSampledGaussian{config_.noise_multiplier, config_.sample_rate}};
}

std::string PrivacyPlan::hash() const {
  std::ostringstream text;
  text << std::hexfloat << "unit " << config_.unit_of_privacy << "\nrelation "
       << accountants::to_string(config_.relation) << "\naccountant " << config_.accountant << "\nepsilon "
       << config_.epsilon << "\ndelta " << config_.delta << "\nnoise_multiplier " << config_.noise_multiplier
       << "\nclip_norm " << config_.clip_norm << "\nsample_rate " << config_.sample_rate << "\npublic_size "
       << config_.public_size << "\nsteps " << config_.steps << "\nclipping " << config_.clipping.rule << " "
       << config_.clipping.stability << " " << config_.clipping.groups << " " << config_.clipping.quantile << " "
       << config_.clipping.learning_rate << " " << config_.clipping.count_noise << "\n";
  if (config_.on_lattice()) text << "noise " << config_.noise << "\n";  // newer than the rest: the default has no line
  if (config_.predictable() || config_.unsafe_generator)
    text << "generator " << config_.generator << " " << config_.unsafe_generator << "\n";
  return to_hex(sha256(text.str()));
}

}  // namespace sotto

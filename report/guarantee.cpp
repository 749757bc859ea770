#include "report/guarantee.h"

#include <cmath>
#include <map>

#include "base/error.h"
#include "report/numbers.h"

namespace sotto::report {
namespace {

std::string neighbours(const Certificate& c) {
  const std::string unit = "any one `" + c.unit_of_privacy + "`";
  if (c.neighbouring_relation == "replace_one") {
    return "replacing all training records of " + unit + " by any other records";
  }
  if (c.neighbouring_relation == "zero_out") return "blanking all training records of " + unit;
  return "adding or removing all training records of " + unit;
}

std::vector<Explained> explain(const std::vector<std::string>& names, const std::map<std::string, Explained>& known) {
  std::vector<Explained> out;
  for (const std::string& name : names) {
    const auto found = known.find(name);
    out.push_back(found != known.end() ? found->second : Explained{name, ""});
  }
  return out;
}

}  // namespace

std::string guarantee_sentence(const Certificate& c) {
  if (!c.is_private()) {
    return cat(
        "This run guarantees nothing for any `", c.unit_of_privacy,
        "`: an unsafe choice was made, and the numbers below describe only what the same run would have promised "
        "without it.");
  }
  return cat("Training was differentially private for each `", c.unit_of_privacy,
             "` with ε = ", round_up(*c.epsilon, 4), " and δ = ", exact(c.delta), ": ", neighbours(c),
             " changes the probability of any result of the training by at most a factor of e^ε = ",
             odds_factor(*c.epsilon), ", plus δ.");
}

std::string refusal_sentence(const accountants::RefusedSteps& refused, double epsilon_allowed) {
  return cat(counted(refused.steps), " steps are proved to cost more than the ε = ", exact(epsilon_allowed),
             " allowed: at least ε = ", significant_down(refused.epsilon_lower, 8), ".");
}

std::string secret(const Certificate& c) {
  const std::string unit = "`" + c.unit_of_privacy + "`";
  if (c.neighbouring_relation == "replace_one")
    return "which of two candidates for the records of one " + unit + " was in the data";
  if (c.neighbouring_relation == "zero_out")
    return "whether the records of one " + unit + " were in the data or blanked";
  return "whether one " + unit + " was in the data";
}

// In e^−ε, so that a large epsilon gives 1 and not infinity over infinity.
double belief_after(double prior, double epsilon) {
  if (prior == 0) return 0;  // and 0/0 where e^−ε has vanished
  return prior / (prior + (1 - prior) * std::exp(-epsilon));
}

double best_guess(double epsilon, double delta) {
  return std::min(1.0, (1 + delta * std::exp(-epsilon)) / (1 + std::exp(-epsilon)));
}

std::string rating(double epsilon) {
  const std::string source = " (tiers of Ponomareva et al., How to DP-fy ML, 2023)";
  if (epsilon <= 1) return "strong: ε ≤ 1" + source;
  if (epsilon <= 10) return "reasonable: 1 < ε ≤ 10" + source;
  return "weak: ε > 10 bounds little by itself" + source;
}

std::vector<Explained> explain_not_covered(const std::vector<std::string>& names) {
  static const std::map<std::string, Explained> known{
      {kTestMetrics,
       {"Test metrics",
        "AUC, losses, ROC and calibration were computed on the held-out records exactly, without noise. They say "
        "something about the people in the test set, to whom the guarantee does not extend."}},
      {kNonPrivateBaseline,
       {"The non-private baseline",
        "A second model was trained on the same data without privacy, for comparison. Its metrics in this report are "
        "not protected, and the model itself must not be released."}},
      {kHyperparameterSearch,
       {"Hyperparameter search",
        "Learning rate, clipping norm, batch size and the number of steps were chosen before this run. If they were "
        "chosen by looking at these data, that choice leaks a little that ε does not count."}},
      {kFloatingPointAttacks,
       {"Floating-point attacks",
        "Noise is drawn in floating point. The proof assumes real numbers; someone who sees exact released bits could "
        "in "
        "principle use the difference."}},
      {kTimingAttacks,
       {"Timing and other side channels",
        "How long a step took, and what the machine did meanwhile, depends on the records drawn."}}};
  return explain(names, known);
}

std::vector<Explained> explain_unsafe(const std::vector<std::string>& names) {
  static const std::map<std::string, Explained> known{
      {kFixedSeed,
       {"The random seed was fixed",
        "Whoever knows the seed can draw the same noise again and subtract it. Train without `run.seed` to get a "
        "guarantee."}},
      {kUnsafeGenerator,
       {"The noise can be predicted",
        "It was drawn with Philox, which is not a cryptographic generator: whoever sees some of it, or guesses what it "
        "was added to, can search for its key of 64 bits and subtract the rest. Train with `privacy.generator = "
        "\"chacha20\"` to get a guarantee."}},
      {kNoPrivacy, {"Privacy was switched off", "The model was trained without clipping or noise."}}};
  return explain(names, known);
}

}  // namespace sotto::report

#include <chrono>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "accountants/accountant.h"
#include "accountants/calibrate.h"
#include "app/command.h"
#include "base/error.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

struct Plan {
  double noise_multiplier = 0, epsilon = 0, sample_rate = 0, delta = 0;
  int64_t steps = 0;
  std::string noise = "gaussian", accountant;
  bool json = false, lower = false;
  double gap = 1e-3;
};

void add_common(CLI::App& command, Plan& plan) {
  command.add_option("--sample-rate", plan.sample_rate, "probability that a unit is in a step's batch, in (0, 1]")
      ->required();
  command.add_option("--steps", plan.steps, "number of steps")->required();
  command.add_option("--noise", plan.noise, "gaussian, or discrete_gaussian: privacy.noise of a run")
      ->check(CLI::IsMember({"gaussian", "discrete_gaussian"}))
      ->capture_default_str();
  add_json_flag(command, plan.json);
}

void add_delta(CLI::App& command, Plan& plan) {
  command.add_option("--delta", plan.delta, "delta, in (0, 1); below 1 ÷ number of units")->required();
}

void add_bracket(CLI::App& command, Plan& plan) {
  command.add_option("--noise-multiplier", plan.noise_multiplier, "noise standard deviation ÷ sensitivity")->required();
  command.add_option("--accountant", plan.accountant,
                     "pld: a bracket of the exact value, for a schedule fixed in advance; rdp: the bound that limits a "
                     "run. By default pld, and rdp for discrete_gaussian");
  command.add_option("--gap", plan.gap, "relative width of pld's bracket to aim for")->capture_default_str();
  command.add_flag("--lower", plan.lower, "print the lower end of the bracket, too");
}

accountants::Event step_of(const Plan& plan, double noise_multiplier) {
  if (plan.noise == "gaussian") return {accountants::PoissonSampledGaussian{noise_multiplier, plan.sample_rate}};
  return {accountants::PoissonSampledDiscreteGaussian{noise_multiplier, plan.sample_rate}};
}

void need(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorKind::configuration, message);
}

void check(const Plan& plan) {
  need(plan.sample_rate > 0 && plan.sample_rate <= 1, cat("--sample-rate must be in (0, 1], got ", plan.sample_rate));
  need(plan.steps >= 1, cat("--steps must be at least 1, got ", plan.steps));
}

void check_delta(const Plan& plan) {
  need(plan.delta > 0 && plan.delta < 1, cat("--delta must be between 0 and 1, got ", plan.delta));
}

Json describe(const Plan& plan) {
  return {{"accountant", plan.accountant},         {"delta", plan.delta},   {"epsilon", plan.epsilon},
          {"neighbouring_relation", "add_remove"}, {"noise", plan.noise},   {"noise_multiplier", plan.noise_multiplier},
          {"sample_rate", plan.sample_rate},       {"sampling", "poisson"}, {"steps", plan.steps}};
}

// Four significant digits, rounded away from the truth that the bound holds.
std::string significant(double value, bool up) {
  if (value == 0) return "0";
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 3);
  std::ostringstream text;
  text << std::setprecision(4) << (up ? std::ceil(value / unit) : std::floor(value / unit)) * unit;
  return text.str();
}

struct Found {
  accountants::Bracket bracket;
  double milliseconds;
};

// The bracket of ε or of δ.
Found bracket(Plan& plan, bool of_epsilon) {
  check(plan);
  need(plan.noise_multiplier > 0, cat("--noise-multiplier must be positive, got ", plan.noise_multiplier));
  need(plan.gap >= 1e-6 && plan.gap < 1, cat("--gap must be at least 1e-6 and below 1, got ", plan.gap));
  if (plan.accountant.empty()) plan.accountant = plan.noise == "gaussian" ? "pld" : "rdp";
  const auto start = std::chrono::steady_clock::now();
  const auto accountant = accountants::make_fixed_schedule_accountant(
      plan.accountant, accountants::NeighbouringRelation::add_remove, plan.gap);
  accountant->compose(step_of(plan, plan.noise_multiplier), plan.steps);
  Found found{of_epsilon ? accountant->epsilon_bracket(plan.delta) : accountant->delta_bracket(plan.epsilon), 0};
  found.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return found;
}

Json describe(const Plan& plan, const Found& found, const char* name) {
  Json object = describe(plan);
  object[name] = found.bracket.upper;
  object[std::string(name) + "_lower"] = found.bracket.lower;
  object["gap"] = found.bracket.upper - found.bracket.lower;
  object["milliseconds"] = found.milliseconds;
  return object;
}

std::string schedule(const Plan& plan) {
  return cat(plan.steps, " Poisson-sampled ", plan.noise == "gaussian" ? "Gaussian" : "discrete Gaussian",
             " steps, noise multiplier ", plan.noise_multiplier, ", sample rate ", plan.sample_rate, " (",
             plan.accountant, ", add or remove one unit)");
}

int epsilon(Plan& plan) {
  check_delta(plan);
  const Found found = bracket(plan, true);
  need(std::isfinite(found.bracket.upper), "this plan has no finite epsilon; raise the noise multiplier");
  plan.epsilon = found.bracket.upper;
  const std::string lower = plan.lower ? cat(significant(found.bracket.lower, false), " ≤ ") : "";
  print(plan.json, describe(plan, found, "epsilon"),
        cat(lower, "ε ≤ ", report::round_up(plan.epsilon, 4), " at δ = ", plan.delta, ": ", schedule(plan)));
  return 0;
}

int delta(Plan& plan) {
  need(plan.epsilon >= 0 && std::isfinite(plan.epsilon),
       cat("--epsilon must be finite and at least 0, got ", plan.epsilon));
  const Found found = bracket(plan, false);
  plan.delta = found.bracket.upper;
  const std::string lower = plan.lower ? cat(significant(found.bracket.lower, false), " ≤ ") : "";
  print(plan.json, describe(plan, found, "delta"),
        cat(lower, "δ ≤ ", significant(plan.delta, true), " at ε = ", plan.epsilon, ": ", schedule(plan)));
  return 0;
}

int noise(Plan& plan) {
  check(plan);
  check_delta(plan);
  need(plan.epsilon > 0, cat("--epsilon must be positive, got ", plan.epsilon));
  if (plan.accountant.empty()) plan.accountant = "rdp";
  plan.noise_multiplier = accountants::noise_multiplier_for(
      plan.epsilon, plan.delta, plan.steps, [&](double multiplier) { return step_of(plan, multiplier); },
      plan.accountant);
  print(plan.json, describe(plan),
        cat("noise multiplier ", report::round_up(plan.noise_multiplier, 5), " keeps ", plan.steps,
            " steps at sample rate ", plan.sample_rate, " within ε = ", plan.epsilon, " at δ = ", plan.delta, " (",
            plan.accountant, ")"));
  return 0;
}

}  // namespace

void add_account(CLI::App& program, Action& chosen) {
  auto* account = program.add_subcommand("account", "what a plan costs, and what noise a budget needs");
  account->require_subcommand(1);
  account->footer(
      "Examples:\n"
      "  sotto account epsilon --noise-multiplier 1.1 --sample-rate 0.01 --steps 1000 --delta 1e-5\n"
      "  sotto account epsilon --noise-multiplier 1.1 --sample-rate 0.01 --steps 1000 --delta 1e-5 --lower --gap 1e-5\n"
      "  sotto account delta --noise-multiplier 1.1 --sample-rate 0.01 --steps 1000 --epsilon 2\n"
      "  sotto account noise --epsilon 3 --sample-rate 0.01 --steps 1000 --delta 1e-5 --json");
  auto plan = std::make_shared<Plan>();
  auto* spend = account->add_subcommand("epsilon", "the epsilon that a plan spends");
  add_common(*spend, *plan);
  add_delta(*spend, *plan);
  add_bracket(*spend, *plan);
  spend->callback([plan, &chosen] { chosen = [plan] { return epsilon(*plan); }; });
  auto* fail = account->add_subcommand("delta", "the delta at an epsilon");
  fail->add_option("--epsilon", plan->epsilon, "the epsilon, at least 0")->required();
  add_common(*fail, *plan);
  add_bracket(*fail, *plan);
  fail->callback([plan, &chosen] { chosen = [plan] { return delta(*plan); }; });
  auto* needed = account->add_subcommand("noise", "the least noise multiplier for an epsilon");
  needed->add_option("--epsilon", plan->epsilon, "the most to spend")->required();
  add_common(*needed, *plan);
  add_delta(*needed, *plan);
  needed->add_option(
      "--accountant", plan->accountant,
      "rdp: what a run needs, since rdp limits it; pld: what the exact value needs, for a schedule fixed "
      "in advance. By default rdp");
  needed->callback([plan, &chosen] { chosen = [plan] { return noise(*plan); }; });
}

}  // namespace sotto::app

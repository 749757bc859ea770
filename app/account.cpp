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
  std::string noise = "gaussian", accountant = "rdp";
  bool json = false;
};

void add_common(CLI::App& command, Plan& plan) {
  command.add_option("--sample-rate", plan.sample_rate, "probability that a unit is in a step's batch, in (0, 1]")
      ->required();
  command.add_option("--steps", plan.steps, "number of steps")->required();
  command.add_option("--delta", plan.delta, "delta, in (0, 1); below 1 ÷ number of units")->required();
  command.add_option("--noise", plan.noise, "gaussian, or discrete_gaussian: privacy.noise of a run")
      ->check(CLI::IsMember({"gaussian", "discrete_gaussian"}))
      ->capture_default_str();
  command.add_option("--accountant", plan.accountant, "accountant (rdp)")->capture_default_str();
  add_json_flag(command, plan.json);
}

accountants::Event step_of(const Plan& plan, double noise_multiplier) {
  if (plan.noise == "gaussian") return {accountants::PoissonSampledGaussian{noise_multiplier, plan.sample_rate}};
  return {accountants::PoissonSampledDiscreteGaussian{noise_multiplier, plan.sample_rate}};
}

void check(const Plan& plan) {
  const auto need = [](bool ok, const std::string& message) {
    if (!ok) throw Error(ErrorKind::configuration, message);
  };
  need(plan.sample_rate > 0 && plan.sample_rate <= 1, cat("--sample-rate must be in (0, 1], got ", plan.sample_rate));
  need(plan.steps >= 1, cat("--steps must be at least 1, got ", plan.steps));
  need(plan.delta > 0 && plan.delta < 1, cat("--delta must be between 0 and 1, got ", plan.delta));
}

Json describe(const Plan& plan) {
  return {{"accountant", plan.accountant},         {"delta", plan.delta},   {"epsilon", plan.epsilon},
          {"neighbouring_relation", "add_remove"}, {"noise", plan.noise},   {"noise_multiplier", plan.noise_multiplier},
          {"sample_rate", plan.sample_rate},       {"sampling", "poisson"}, {"steps", plan.steps}};
}

int epsilon(Plan& plan) {
  check(plan);
  if (!(plan.noise_multiplier > 0))
    throw Error(ErrorKind::configuration, cat("--noise-multiplier must be positive, got ", plan.noise_multiplier));
  auto accountant = accountants::make_accountant(plan.accountant, accountants::NeighbouringRelation::add_remove);
  accountant->compose(step_of(plan, plan.noise_multiplier), plan.steps);
  plan.epsilon = accountant->epsilon(plan.delta);
  if (!std::isfinite(plan.epsilon))
    throw Error(ErrorKind::configuration, "this plan has no finite epsilon; raise the noise multiplier");
  print(plan.json, describe(plan),
        cat("ε ≤ ", report::round_up(plan.epsilon, 4), " at δ = ", plan.delta, ": ", plan.steps, " Poisson-sampled ",
            plan.noise == "gaussian" ? "Gaussian" : "discrete Gaussian", " steps, noise multiplier ",
            plan.noise_multiplier, ", sample rate ", plan.sample_rate, " (", plan.accountant,
            ", add or remove one unit)"));
  return 0;
}

int noise(Plan& plan) {
  check(plan);
  if (!(plan.epsilon > 0)) throw Error(ErrorKind::configuration, cat("--epsilon must be positive, got ", plan.epsilon));
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
      "  sotto account noise --epsilon 3 --sample-rate 0.01 --steps 1000 --delta 1e-5 --json");
  auto plan = std::make_shared<Plan>();
  auto* spend = account->add_subcommand("epsilon", "the epsilon that a plan spends");
  spend->add_option("--noise-multiplier", plan->noise_multiplier, "noise standard deviation ÷ sensitivity")->required();
  add_common(*spend, *plan);
  spend->callback([plan, &chosen] { chosen = [plan] { return epsilon(*plan); }; });
  auto* need = account->add_subcommand("noise", "the least noise multiplier for an epsilon");
  need->add_option("--epsilon", plan->epsilon, "the most to spend")->required();
  add_common(*need, *plan);
  need->callback([plan, &chosen] { chosen = [plan] { return noise(*plan); }; });
}

}  // namespace sotto::app

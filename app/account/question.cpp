#include "app/account/question.h"

#include <cmath>

#include "base/atomic_file.h"
#include "base/error.h"
#include "kernels/lattice/lattice.h"
#include "report/numbers.h"

namespace sotto::app {

using report::counted;
using report::exact;

void add_noise_multiplier(CLI::App& command, Question& question) {
  command.add_option("--noise-multiplier", question.noise_multipliers, "noise standard deviation ÷ sensitivity")
      ->expected(1);
}

void add_sample_rate(CLI::App& command, Question& question) {
  command.add_option("--sample-rate", question.sample_rate,
                     "probability that a unit is in a step's batch, in (0, 1]; 1 without sampling");
}

void add_steps(CLI::App& command, Question& question) {
  command.add_option("--steps", question.steps, "number of steps")->expected(1);
}

void add_mechanism(CLI::App& command, Question& question) {
  command.add_option("--noise", question.noise, "gaussian, or discrete_gaussian: privacy.noise of a run")
      ->check(CLI::IsMember({"gaussian", "discrete_gaussian"}))
      ->capture_default_str();
}

void add_plan(CLI::App& command, Question& question) {
  add_noise_multiplier(command, question);
  add_sample_rate(command, question);
  add_steps(command, question);
  add_mechanism(command, question);
  auto* events = command.add_option("--events", question.events_file,
                                    "instead: a JSON file of events, sotto's own or dp-accounting's");
  command
      .add_option("--opacus-history", question.opacus_file,
                  "instead: a JSON file of [noise_multiplier, sample_rate, steps], as an Opacus accountant's history")
      ->excludes(events);
}

void add_epsilon(CLI::App& command, Question& question, const std::string& help) {
  command.add_option("--epsilon", question.epsilon, help)->required();
}

void add_delta(CLI::App& command, Question& question) {
  command.add_option("--delta", question.delta, "delta, in (0, 1); below 1 ÷ number of units")->required();
}

void add_relation(CLI::App& command, Question& question) {
  command.add_option("--relation", question.relation, "add_remove, replace_one or zero_out: what neighbours differ in")
      ->capture_default_str();
  add_json_flag(command, question.json);
}

void add_accountant(CLI::App& command, Question& question, const std::string& help) {
  command.add_option("--accountant", question.accountant, help);
}

void add_bracket(CLI::App& command, Question& question) {
  command.add_option("--gap", question.gap, "relative width of pld's bracket to aim for")->capture_default_str();
  command.add_flag("--lower", question.lower, "print the lower end of the bracket, too");
}

void need(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorKind::configuration, message);
}

void check_noise_multiplier(double noise_multiplier) {
  need(noise_multiplier > 0 && std::isfinite(noise_multiplier),
       cat("--noise-multiplier must be positive and finite, got ", noise_multiplier));
}

void check_sample_rate(const Question& question) {
  need(question.sample_rate != 0, "--sample-rate is needed, above 0 and at most 1; 1 without sampling");
  need(question.sample_rate > 0 && question.sample_rate <= 1,
       cat("--sample-rate must be in (0, 1], got ", question.sample_rate));
}

void check_steps(int64_t steps) {
  need(steps >= 1 && steps <= int64_t{1} << 53, cat("--steps must be at least 1 and at most 2^53, got ", steps));
}

void check_delta(double delta, const char* option) {
  need(delta > 0 && delta < 1, cat(option, " must be between 0 and 1, got ", delta));
}

void check_epsilon(const Question& question) {
  need(question.epsilon > 0 && std::isfinite(question.epsilon),
       cat("--epsilon must be positive and finite, got ", question.epsilon));
}

void check_gap(const Question& question) {
  need(question.gap >= 1e-6 && question.gap < 1, cat("--gap must be at least 1e-6 and below 1, got ", question.gap));
}

accountants::Event step_of(const Question& question, double noise_multiplier, double sample_rate) {
  // Without sampling there are more relations under which a Gaussian is known.
  if (question.noise == "gaussian" && sample_rate == 1) return {accountants::Gaussian{noise_multiplier}};
  if (question.noise == "gaussian") return {accountants::PoissonSampledGaussian{noise_multiplier, sample_rate}};
  return {accountants::PoissonSampledLatticeGaussian{noise_multiplier, sample_rate,
                                                     kernels::lattice_noise_multiplier(1)}};  // as a run's
}

accountants::EventList plan_of(const Question& question) {
  if (!question.from_file()) {
    need(!question.noise_multipliers.empty() && !question.steps.empty(),
         "say what is composed: --noise-multiplier, --sample-rate and --steps, or --events FILE, or --opacus-history "
         "FILE");
    check_noise_multiplier(question.noise_multipliers.front());
    check_sample_rate(question);
    check_steps(question.steps.front());
    return {{step_of(question, question.noise_multipliers.front(), question.sample_rate), question.steps.front()}};
  }
  need(question.noise_multipliers.empty() && question.steps.empty() && question.sample_rate == 0,
       "a file of events says noise, rate and steps; leave --noise-multiplier, --sample-rate and --steps away");
  const bool ours = !question.events_file.empty();
  const std::filesystem::path& path = ours ? question.events_file : question.opacus_file;
  const std::string text = read_file(path);
  try {
    return ours ? accountants::event_list_from_json(text) : accountants::opacus_history_from_json(text);
  } catch (const Error& error) {
    throw Error(error.kind(), cat(path.string(), ": ", error.what()));
  }
}

std::string relation_in_words(const Question& question) {
  switch (question.neighbouring_relation()) {
    case accountants::NeighbouringRelation::replace_one:
      return "replace one unit";
    case accountants::NeighbouringRelation::zero_out:
      return "zero out one unit";
    case accountants::NeighbouringRelation::add_remove:
      break;
  }
  return "add or remove one unit";
}

std::string in_words(const Question& question) {
  if (question.from_file())
    return cat("the events of ", (question.events_file.empty() ? question.opacus_file : question.events_file).string());
  return cat(counted(question.steps.front()), " Poisson-sampled ",
             question.noise == "gaussian" ? "Gaussian" : "discrete Gaussian", " steps, noise multiplier ",
             exact(question.noise_multipliers.front()), ", sample rate ", exact(question.sample_rate));
}

Json describe(const Question& question) {
  Json object{{"neighbouring_relation", question.relation}};
  if (question.from_file()) {
    object["events"] = Json::parse(accountants::to_json(plan_of(question)));
    return object;
  }
  object["noise"] = question.noise;
  object["sampling"] = "poisson";
  if (question.noise_multipliers.size() == 1) object["noise_multiplier"] = question.noise_multipliers.front();
  if (question.steps.size() == 1) object["steps"] = question.steps.front();
  if (question.sample_rate > 0) object["sample_rate"] = question.sample_rate;
  return object;
}

}  // namespace sotto::app

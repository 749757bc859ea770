#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "accountants/event_list.h"
#include "app/command.h"

namespace sotto::app {

// What the sub-commands of `sotto account` are asked with. Those that do not have an option leave its field alone.
struct Question {
  std::vector<double> noise_multipliers;
  std::vector<int64_t> steps;
  double sample_rate = 0, epsilon = 0, delta = 0, gap = 1e-3;
  int64_t units = 0;
  std::string noise = "gaussian", relation = "add_remove", accountant;
  std::filesystem::path events_file, opacus_file, plot;
  bool json = false, lower = false;

  accountants::NeighbouringRelation neighbouring_relation() const {
    return accountants::relation_from_string(relation);
  }
  bool from_file() const { return !events_file.empty() || !opacus_file.empty(); }
};

// Options. Noise, rate and steps are checked by the functions below, which say what is wrong with the value.
void add_noise_multiplier(CLI::App& command, Question& question);
void add_sample_rate(CLI::App& command, Question& question);
void add_steps(CLI::App& command, Question& question);
void add_mechanism(CLI::App& command, Question& question);  // --noise
void add_plan(CLI::App& command, Question& question);       // all these, or a file of events
void add_epsilon(CLI::App& command, Question& question, const std::string& help);
void add_delta(CLI::App& command, Question& question);
void add_relation(CLI::App& command, Question& question);  // and --json
void add_accountant(CLI::App& command, Question& question, const std::string& help);
void add_bracket(CLI::App& command, Question& question);  // --gap and --lower

// Each throws configuration, naming option, value and limit.
void need(bool ok, const std::string& message);
void check_noise_multiplier(double noise_multiplier);
void check_sample_rate(const Question& question);
void check_steps(int64_t steps);
void check_delta(double delta, const char* option = "--delta");
void check_epsilon(const Question& question);
void check_gap(const Question& question);

// A step of the kind that --noise says.
accountants::Event step_of(const Question& question, double noise_multiplier, double sample_rate);

// The plan of add_plan, from the options or from the file, checked.
accountants::EventList plan_of(const Question& question);

// The plan for people, and for programs: the options' names and values, or the events.
std::string in_words(const Question& question);
Json describe(const Question& question);
std::string relation_in_words(const Question& question);

}  // namespace sotto::app

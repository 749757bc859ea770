#include "accountants/calibrate.h"

#include <cmath>

#include "app/account/answer.h"
#include "app/account/commands.h"
#include "base/error.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

using accountants::Calibration;
using report::counted;
using report::exact;

constexpr const char* kAccountants =
    "pld: what the exact value allows, for a schedule fixed in advance, such as a run; rdp: what a filter allows. By "
    "default what limits a run: pld where it knows the step, else rdp";

accountants::Target target_of(Question& question) {
  check_epsilon(question);
  check_delta(question.delta);
  question.accountant = accountant_for(question, {{step_of(question, 1, 0.5), 1}});  // any of that kind
  return {question.epsilon, question.delta, question.accountant, question.neighbouring_relation()};
}

// Beside the answer: what it costs, and the nearest value that was refused, with the proof where there is one.
Json describe(const Question& question, const Calibration& found, const char* parameter, double milliseconds) {
  Json object = describe(question);
  object.update({{"target_epsilon", question.epsilon},
                 {"delta", question.delta},
                 {"accountant", question.accountant},
                 {"evaluations", found.evaluations},
                 {"milliseconds", milliseconds}});
  object.update(to_json(found.fits ? found.fits->epsilon : accountants::Bracket{0, 0}, "epsilon"));
  object["refused"] = nullptr;
  if (found.fails) {
    Json refused = to_json(found.fails->epsilon, "epsilon");
    refused[parameter] = found.fails->value;
    refused["proven"] = found.fails->epsilon.lower > question.epsilon;
    object["refused"] = std::move(refused);
  }
  return object;
}

std::string budget(const Question& question) {
  return cat("within ε = ", exact(question.epsilon), " at δ = ", exact(question.delta), " (", question.accountant, ", ",
             relation_in_words(question), ")");
}

// What the refused value costs at least; nothing where the accountant cannot say.
std::string proof(const Question& question, const Calibration& found, const std::string& value) {
  if (!found.fails || !(found.fails->epsilon.lower > question.epsilon)) return "";
  return cat("; ", value, " would cost ε ≥ ", report::significant_down(found.fails->epsilon.lower, 6));
}

int noise(Question& question) {
  const auto target = target_of(question);
  check_sample_rate(question);
  need(!question.steps.empty(), "--steps is required");
  check_steps(question.steps.front());
  const Clock clock;
  const Calibration found = accountants::least_noise(target, question.steps.front(), [&](double multiplier) {
    return step_of(question, multiplier, question.sample_rate);
  });
  const double milliseconds = clock.milliseconds();
  question.noise_multipliers = {found.fits->value};
  print(question.json, describe(question, found, "noise_multiplier", milliseconds),
        cat("noise multiplier ", report::round_up(found.fits->value, 5), " keeps ", counted(question.steps.front()),
            " steps at sample rate ", exact(question.sample_rate), " ", budget(question),
            proof(question, found, report::significant_down(found.fails->value, 6))));
  return 0;
}

int steps(Question& question) {
  const auto target = target_of(question);
  check_sample_rate(question);
  need(!question.noise_multipliers.empty(), "--noise-multiplier is required");
  check_noise_multiplier(question.noise_multipliers.front());
  const Clock clock;
  const Calibration found =
      accountants::most_steps(target, step_of(question, question.noise_multipliers.front(), question.sample_rate));
  const double milliseconds = clock.milliseconds();
  question.steps = {found.fits ? static_cast<int64_t>(found.fits->value) : 0};
  const auto next = static_cast<int64_t>(found.fails->value);
  print(question.json, describe(question, found, "steps", milliseconds),
        cat(counted(question.steps.front()), " steps at noise multiplier ", exact(question.noise_multipliers.front()),
            " and sample rate ", exact(question.sample_rate), " fit ", budget(question),
            proof(question, found, counted(next))));
  return 0;
}

int batch(Question& question) {
  const auto target = target_of(question);
  need(!question.noise_multipliers.empty(), "--noise-multiplier is required");
  check_noise_multiplier(question.noise_multipliers.front());
  need(!question.steps.empty(), "--steps is required");
  check_steps(question.steps.front());
  need(question.units >= 1, cat("--units must be at least 1, got ", question.units));
  const Clock clock;
  const auto step = [&question](double rate) { return step_of(question, question.noise_multipliers.front(), rate); };
  const Calibration found =
      calibrate(target, accountants::batch_parameter(question.steps.front(), question.units, step));
  const double milliseconds = clock.milliseconds();
  need(found.fits.has_value(), cat("not even a mean batch of 1 of ", question.units,
                                   " units fits ε = ", question.epsilon, "; raise the noise or take fewer steps"));
  const double mean = found.fits->value;
  question.sample_rate = mean / static_cast<double>(question.units);
  Json object = describe(question, found, "batch", milliseconds);
  object["batch"] = static_cast<int64_t>(mean);
  object["units"] = question.units;
  print(question.json, object,
        cat("a mean batch of ", counted(static_cast<int64_t>(mean)), " of ", counted(question.units),
            " units (sample rate ", exact(question.sample_rate), ") keeps ", counted(question.steps.front()),
            " steps at noise multiplier ", exact(question.noise_multipliers.front()), " ", budget(question),
            found.fails ? proof(question, found, counted(static_cast<int64_t>(found.fails->value))) : ""));
  return 0;
}

}  // namespace

void add_account_calibration(CLI::App& account, Action& chosen) {
  const auto add = [&](const char* name, const char* help, int (*answer)(Question&), auto add_options) {
    const auto question = std::make_shared<Question>();
    auto* command = account.add_subcommand(name, help);
    add_epsilon(*command, *question, "the most to spend");
    add_delta(*command, *question);
    add_options(*command, *question);
    add_mechanism(*command, *question);
    add_accountant(*command, *question, kAccountants);
    add_relation(*command, *question);
    command->callback([question, answer, &chosen] { chosen = [question, answer] { return answer(*question); }; });
  };
  add("noise", "the least noise multiplier for an epsilon", noise, [](CLI::App& command, Question& question) {
    add_sample_rate(command, question);
    add_steps(command, question);
  });
  add("steps", "the most steps for an epsilon", steps, [](CLI::App& command, Question& question) {
    add_noise_multiplier(command, question);
    add_sample_rate(command, question);
  });
  add("batch", "the largest mean batch for an epsilon", batch, [](CLI::App& command, Question& question) {
    add_noise_multiplier(command, question);
    add_steps(command, question);
    command.add_option("--units", question.units, "how many units there are: a public number")->required();
  });
}

}  // namespace sotto::app

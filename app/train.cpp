#include <csignal>

#include "app/allocator.h"
#include "app/certify.h"
#include "app/command.h"
#include "app/fingerprint.h"
#include "base/error.h"
#include "base/progress.h"
#include "engine/baseline.h"
#include "report/numbers.h"
#include "report/report.h"
#include "report/run_folder.h"

namespace sotto::app {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> overrides;
  bool resume = false, auto_microbatch = false, baseline = false, fingerprint = false, json = false;
};

volatile std::sig_atomic_t g_interrupted = 0;

void say(const std::string& line) {
  std::fprintf(stderr, "%s\n", line.c_str());
}

std::string fields(const StepReport& step, double seconds) {
  return cat("loss ", report::rounded(step.diagnostics.mean_loss, 4), "  ε ", report::round_up(step.epsilon, 3), " of ",
             report::exact(step.epsilon_allowed), "  ",
             static_cast<int64_t>(static_cast<double>(step.diagnostics.batch_size) / std::max(seconds, 1e-9)),
             " samples/s");
}

// The rows of this run as RUN/ledger.json shows them.
std::vector<report::LedgerLine> ledger_excerpt(const Trainer& trainer, const TrainResult& result) {
  std::vector<report::LedgerLine> lines;
  for (const accountants::LedgerRow& row : trainer.ledger().rows(result.run_id)) {
    const Json payload = Json::parse(row.payload);
    const int64_t steps = payload.value("last_step", payload.value("charged_steps", int64_t{0}));
    lines.push_back({row.id, payload.at("at"), row.kind, steps, payload.value("epsilon", 0.0), row.hash});
  }
  return lines;
}

void announce(const Trainer& trainer) {
  const PrivacyConfig& privacy = trainer.config().privacy;
  const data::LoadReport& load = trainer.load_report();
  say(cat(trainer.schema().name, ": ", load.rows_read, " rows, ", load.bad_rows, " bad; ", load.dropped_by_unit_rule,
          " further records of a unit dropped, ", load.excluded, " excluded; ", trainer.train_set().size(),
          " units to train on, ", trainer.test_set().size(), " held out"));
  for (const data::BadRow& bad : load.first_bad_rows) say(cat("  bad row at line ", bad.line, ": ", bad.reason));
  say(cat("model: ", trainer.config().model.kind, ", ", trainer.parameters().elements(), " parameters"));
  say(cat("plan: ε ≤ ", report::exact(privacy.epsilon), ", δ = ", report::exact(privacy.delta), ", noise multiplier ",
          report::round_up(privacy.noise_multiplier, 4), ", clip norm ", report::exact(privacy.clip_norm),
          ", sample rate ", report::exact(privacy.sample_rate), ", ", privacy.steps,
          " steps; unit: ", privacy.unit_of_privacy));
  say(cat("ledger: ", trainer.config().ledger.path.text()));
  if (privacy.delta * static_cast<double>(privacy.public_size) >= 1)
    say(cat("warning: privacy.delta = ", report::exact(privacy.delta), " is not below 1/", privacy.public_size,
            " units; a mechanism that publishes one unit outright would satisfy it. Choose a smaller delta."));
  if (trainer.config().run.seed)
    say("warning: run.seed is set: who knows the seed can remove the noise. The certificate says so.");
  if (privacy.predictable())
    say("warning: privacy.generator is philox: who sees some of the noise can predict the rest. The certificate says "
        "so.");
}

int train(const Options& options) {
  keep_freed_memory();
  g_interrupted = 0;
  std::signal(SIGINT, [](int) { g_interrupted = 1; });
  std::signal(SIGTERM, [](int) { g_interrupted = 1; });
  std::unique_ptr<Progress> progress;
  auto last = Progress::Clock::now();
  TrainHooks hooks;
  hooks.interrupted = [] { return g_interrupted != 0; };
  hooks.say = [&](const std::string& line) { progress ? progress->say(line) : say(line); };
  hooks.on_step = [&](const StepReport& step) {
    const auto now = Progress::Clock::now();
    progress->show(static_cast<int64_t>(step.step), fields(step, std::chrono::duration<double>(now - last).count()));
    last = now;
  };
  TrainConfig config = TrainConfig::read(options.config, options.overrides);
  config.performance.auto_microbatch |= options.auto_microbatch;
  Trainer trainer(std::move(config), options.resume, hooks);
  announce(trainer);
  progress = std::make_unique<Progress>(trainer.config().privacy.steps, standard_error_is_terminal());
  const TrainResult result = trainer.run();
  progress.reset();

  std::optional<Model> baseline;
  if (options.baseline && result.status == RunStatus::completed) {
    say("training the baseline without privacy, for comparison only");
    baseline = train_baseline(trainer.config().model, trainer.train_set(), {}, RunKey::from_seed(0));
  }
  const auto evaluations = evaluate_run(trainer, baseline ? &*baseline : nullptr);
  const report::Certificate certificate = certify(trainer, result, evaluations);
  const std::filesystem::path run = trainer.folder().dir();
  report::write_ledger_excerpt(run / "ledger.json", ledger_excerpt(trainer, result));
  if (evaluations) report::write_evaluations(run / "evaluation.json", *evaluations);
  report::write_certificate(run / "certificate.json", certificate);
  report::write_report(run);

  Json object = {{"run", run.string()},
                 {"run_id", result.run_id},
                 {"steps", result.charged_steps},
                 {"epsilon", result.epsilon},
                 {"delta", certificate.delta},
                 {"private", certificate.is_private()},
                 {"certificate", (run / "certificate.json").string()},
                 {"report", (run / "report.html").string()},
                 {"status", result.status == RunStatus::completed          ? "completed"
                            : result.status == RunStatus::budget_exhausted ? "budget_exhausted"
                                                                           : "interrupted"}};
  if (evaluations) object["test_auc"] = evaluations->model.auc;
  if (baseline && evaluations) object["baseline_test_auc"] = evaluations->baseline->auc;
  print(
      options.json, object,
      cat("ε = ", report::round_up(result.epsilon, 4), " at δ = ", report::exact(certificate.delta), " after ",
          result.charged_steps, " steps", evaluations ? "; test AUC " + report::rounded(evaluations->model.auc, 4) : "",
          baseline && evaluations ? " (without privacy " + report::rounded(evaluations->baseline->auc, 4) + ")" : "",
          "\nmodel        ", (run / "model.safetensors").string(), "\ncertificate  ",
          (run / "certificate.json").string(), "\nreport       ", (run / "report.html").string()));
  if (result.status == RunStatus::budget_exhausted) {
    say(cat("sotto: the budget of ε = ", report::exact(trainer.config().privacy.epsilon), " is spent after ",
            result.charged_steps, " of ", trainer.config().privacy.steps,
            " steps; the model and a checkpoint are saved"));
    return exit_code(ErrorKind::budget_exhausted);
  }
  if (result.status == RunStatus::interrupted) {
    say(cat("sotto: interrupted after ", result.steps, " steps; a checkpoint is saved. Continue with --resume"));
    return exit_code(ErrorKind::interrupted);
  }
  return 0;
}

}  // namespace

void add_train(CLI::App& program, Action& chosen) {
  auto* command = program.add_subcommand("train", "train a model with differential privacy");
  command->footer(
      "Examples:\n"
      "  sotto train examples/medai/readmission.toml --baseline\n"
      "  sotto train examples/medai/readmission.toml --set privacy.epsilon=1 --set run.dir=runs/strict\n"
      "  sotto train examples/medai/readmission.toml --set run.dir=runs/strict --resume\n"
      "Every key of the file can be set; docs/configuration.md lists them. Ctrl-C saves a checkpoint and stops.");
  auto options = std::make_shared<Options>();
  command->add_option("CONFIG", options->config, "TOML file")->required();
  command->add_option("--set", options->overrides, "override a key of the file, such as privacy.epsilon=1")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--resume", options->resume, "continue the run in run.dir, to the same bytes as without the stop");
  command->add_flag("--auto-microbatch", options->auto_microbatch,
                    "where memory runs out, halve the micro-batch and make the step again");
  command->add_flag("--baseline", options->baseline,
                    "also train without privacy, to compare; the certificate lists it");
  command->add_flag("--fingerprint", options->fingerprint,
                    "train 20 steps with a fixed key and print a hash of the result; keeps nothing");
  add_json_flag(*command, options->json);
  command->callback([options, &chosen] {
    chosen = [options] {
      return options->fingerprint ? print_fingerprint(options->config, options->json) : train(*options);
    };
  });
}

}  // namespace sotto::app

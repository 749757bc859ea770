#include "app/allocator.h"
#include "app/command.h"
#include "app/rules.h"
#include "base/error.h"
#include "engine/step_bench/bench_task.h"
#include "engine/step_bench/step_bench.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

double peak_ratio(const StepBench& b) {
  return static_cast<double>(b.private_peak_bytes) / static_cast<double>(b.plain_peak_bytes);
}

Json describe(const StepBench& b) {
  return {{"plain_ms", b.plain_ms},     {"private_ms", b.private_ms},
          {"ratio", b.ratio},           {"peak_bytes_ratio", peak_ratio(b)},
          {"microbatch", b.microbatch}, {"memory_limit", b.memory_limit}};
}

}  // namespace

void add_bench(CLI::App& program, Action& chosen) {
  auto* bench = program.add_subcommand("bench", "time sotto on this machine");
  bench->require_subcommand(1);
  add_bench_kernels(*bench, chosen);
  auto* step = bench->add_subcommand("step", "a private training step against the same model's plain LibTorch step");
  step->footer("Examples:\n  sotto bench step --model mlp\n  sotto bench step --model transformer --rounds 25 --json");
  struct Options {
    StepBenchOptions step = {.model = "mlp"};
    std::string device = "cpu";
    int threads = 0;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  std::vector<std::string> names;
  std::string models = "one of these:";
  for (const BenchModel& model : bench_models()) {
    names.push_back(model.name);
    models += cat("\n", model.name, ": ", model.what);
  }
  step->add_option("--model", options->step.model, models)->check(CLI::IsMember(names))->capture_default_str();
  step->add_option("--batch", options->step.batch, "samples a step (default: the model's own)")
      ->check(CLI::PositiveNumber);
  step->add_option("--microbatch", options->step.microbatch,
                   "samples that the private step passes at once: fewer need less memory (default: chosen by "
                   "--peak-limit)")
      ->check(CLI::PositiveNumber);
  step->add_option("--streams", options->step.streams, "of a GPU: with 2, norms beside the backward pass")
      ->check(CLI::Range(1, 2))
      ->capture_default_str();
  add_precision(*step, options->step.precision);
  step->add_flag("--record-passes", options->step.record_passes,
                 "record the private step's passes over full micro-batches (a CUDA graph), and repeat them");
  step->add_option("--rounds", options->step.rounds, "alternating rounds; medians are reported")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  step->add_option(
          "--memory-limit", options->step.memory_limit,
          "what the private step may keep from the backward pass until the clipped sum: bytes, or as in 512MiB "
          "(default: chosen by --peak-limit)")
      ->transform(CLI::AsSizeValue(false) & CLI::PositiveNumber);
  step->add_option("--peak-limit", options->step.peak_limit,
                   "without the two: the fastest of six ways through the batch whose peak memory is within this many "
                   "times the plain step's is taken; where none is, that of least memory")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  step->add_option("--device", options->device, "cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  add_threads(*step, options->threads);
  add_json_flag(*step, options->json);
  step->callback([options, &chosen] {
    chosen = [options] {
      options->step.threads = threads_of(options->threads);
      options->step.on_cuda = options->device == "cuda";
      const StepBench untuned = bench_step(options->step);
      keep_freed_memory();
      const StepBench b = bench_step(options->step);
      Json object = describe(b);
      object.update({{"model", b.model},
                     {"batch", b.batch},
                     {"parameters", b.parameters},
                     {"rounds", b.rounds},
                     {"device", options->device},
                     {"precision", b.precision},
                     {"recorded", b.recorded},
                     {"threads", b.threads},
                     {"floor", b.floor},
                     {"rules", describe_rules(b.rules)},
                     {"plain_peak_bytes", b.plain_peak_bytes},
                     {"private_peak_bytes", b.private_peak_bytes},
                     {"charge_ms", b.charge_ms},
                     {"draw_ms", b.draw_ms},
                     {"default_allocator", describe(untuned)}});
      if (!b.recording_refusal.empty()) object["recording_refusal"] = b.recording_refusal;
      print(options->json, object,
            cat(b.model, ", batch ", b.batch, ", ", b.parameters, " parameters, ", b.precision, ", ", b.threads,
                " threads, ", b.rounds, " rounds, ", b.microbatch, " samples at once, at most ", b.memory_limit >> 20,
                " MiB kept\nplain step    ", report::rounded(b.plain_ms, 3), " ms\nprivate step  ",
                report::rounded(b.private_ms, 3), " ms\nratio         ", report::rounded(b.ratio, 3), " (",
                report::rounded(untuned.ratio, 3), " with the default allocator settings)\nfloor         ",
                report::rounded(b.floor, 3), " (what exact clipping must cost, in FLOPs)\npeak memory   ",
                report::rounded(peak_ratio(b), 3), " of the plain step's\nbeside it     charge ",
                report::rounded(b.charge_ms, 3), " ms, draw ", report::rounded(b.draw_ms, 3), " ms of 100,000 units",
                b.recording_refusal.empty() ? "" : cat("\nnot recorded: ", b.recording_refusal)));
      return 0;
    };
  });
}

}  // namespace sotto::app

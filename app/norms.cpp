#include "engine/norms.h"

#include <cmath>
#include "app/command.h"
#include "app/rules.h"
#include "base/error.h"
#include "engine/autocast.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

struct Options {
  std::string model, inputs, loss, precision = "float32";
  int64_t microbatch = 0;
  int64_t probes = 0;
  int threads = 0;
  bool explain = false, json = false;
};

// Infinity is never JSON.
Json finite_or_null(const std::vector<double>& norms) {
  Json list = Json::array();
  for (const double norm : norms) list.push_back(std::isfinite(norm) ? Json(norm) : Json());
  return list;
}

std::string for_people(const SampleNorms& found, bool explain) {
  std::string text;
  if (explain)
    text = rules_table(found.rules) + "\n";
  else
    for (size_t i = 0; i < found.norms.size(); ++i)
      text += cat(i, "  ", std::isfinite(found.norms[i]) ? report::round_up(found.norms[i], 6) : "not finite",
                  found.estimates.empty() ? "" : cat("  estimated ", report::rounded(found.estimates[i], 6)), "\n");
  int64_t slow = 0;
  for (const ParameterRule& rule : found.rules) slow += rule.rule.ends_with("(slow)");
  return cat(text, found.norms.size(), " samples, ", found.parameter_elements, " parameters",
             slow > 0 ? "; no rule covers every use of them, so each sample passes by itself, which is slow" : "",
             explain ? "" : "; --explain shows the rule for each parameter");
}

}  // namespace

void add_norms(CLI::App& program, Action& chosen) {
  auto* command = program.add_subcommand("norms", "the per-sample gradient norms of a model, to compare with your own");
  command->footer(
      "Examples:\n"
      "  sotto norms model.pt --inputs batch.safetensors --loss cross_entropy --json\n"
      "  sotto norms model.pt --inputs batch.safetensors --loss mse --explain\n"
      "In Python: torch.jit.script(model).save(\"model.pt\"), safetensors.torch.save_file({\"x\": x, \"y\": y}, "
      "\"batch.safetensors\").\nThe norms are exact statistics of the inputs: nothing here is private.");
  auto options = std::make_shared<Options>();
  command->add_option("MODEL", options->model, "TorchScript file")->required();
  command->add_option("--inputs", options->inputs, "safetensors file with tensors x and y, batch in dimension 0")
      ->required();
  command->add_option("--loss", options->loss, "mean over what follows the batch dimension, summed over samples")
      ->required()
      ->check(CLI::IsMember({"cross_entropy", "mse"}));
  command->add_option("--microbatch", options->microbatch, "samples a pass (0: chosen)")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_precision(*command, options->precision);
  add_threads(*command, options->threads);
  command
      ->add_option("--estimate", options->probes,
                   "also estimate the norms from this many random vectors, as randomised clipping would")
      ->check(CLI::PositiveNumber);
  command->add_flag("--explain", options->explain, "show the rule for each parameter and its predicted cost");
  add_json_flag(*command, options->json);
  command->callback([options, &chosen] {
    chosen = [options] {
      const int threads = threads_of(options->threads);
      const SampleNorms found =
          sample_norms(options->model, options->inputs,
                       {options->loss == "mse" ? NormLoss::mse : NormLoss::cross_entropy, options->microbatch, threads,
                        options->probes, product_type(options->precision)});
      const auto non_finite = std::ranges::count_if(found.norms, [](double norm) { return !std::isfinite(norm); });
      Json object = {{"norms", finite_or_null(found.norms)}, {"non_finite", non_finite},
                     {"rules", describe_rules(found.rules)}, {"parameters", found.parameter_elements},
                     {"microbatch", found.microbatch},       {"precision", options->precision}};
      if (options->probes > 0) object["estimates"] = finite_or_null(found.estimates);
      print(options->json, object, for_people(found, options->explain));
      return 0;
    };
  });
}

}  // namespace sotto::app

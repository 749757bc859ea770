#include <cmath>

#include "app/allocator.h"
#include "app/command.h"
#include "app/table.h"
#include "base/error.h"
#include "engine/planner/model_plan.h"
#include "report/numbers.h"

namespace sotto::app {
namespace {

Json describe(const ModelPlan& m, size_t i) {
  const PlannedProduct& product = m.plan.products[i];
  Json ways = Json::array();
  for (size_t w = 0; w < product.ways.size(); ++w) {
    ways.push_back({{"method", to_string(product.ways[w].method)},
                    {"milliseconds", product.ways[w].milliseconds},
                    {"bytes", product.ways[w].bytes}});
    if (!m.tried.milliseconds.empty() && std::isfinite(m.tried.milliseconds[i][w]))
      ways.back()["pass_milliseconds"] = m.tried.milliseconds[i][w];
  }
  return {{"name", m.names[i]},
          {"kind", product.product.convolution ? "convolution" : "linear"},
          {"length", product.product.length},
          {"rows", product.product.rows},
          {"columns", product.product.columns},
          {"method", to_string(product.way().method)},
          {"milliseconds", product.way().milliseconds},
          {"bytes", product.way().bytes},
          {"ways", ways}};
}

std::string mebibytes(int64_t bytes) {
  return report::rounded(static_cast<double>(bytes) / (1 << 20), 3);
}

// A row a product; a column a method: its predicted milliseconds.
std::string for_people(const ModelPlan& m, const PlanOptions& options) {
  if (!m.captured)
    return "no rule covers every use of the model's parameters: each sample passes by itself, so there is nothing to "
           "plan (`sotto norms --explain` shows the rules)";
  if (m.plan.products.empty())
    return "every parameter has one way to its norms (one row a sample, embeddings, normalisations): nothing to plan";
  std::vector<std::vector<std::string>> rows = {{"parameter", "rows × p × d", "chosen", "MiB"}};
  for (const NormMethod method : kNormMethods) rows[0].push_back(cat(to_string(method), " ms"));
  for (size_t i = 0; i < m.plan.products.size(); ++i) {
    const PlannedProduct& p = m.plan.products[i];
    std::vector<std::string> row = {m.names[i], cat(p.product.length, " × ", p.product.rows, " × ", p.product.columns),
                                    to_string(p.way().method), mebibytes(p.way().bytes)};
    row.resize(4 + std::size(kNormMethods), "–");
    for (const PlannedProduct::Way& way : p.ways)
      row[4 + static_cast<size_t>(way.method)] = report::rounded(way.milliseconds, 3);
    rows.push_back(std::move(row));
  }
  std::string text = table(rows, 3);
  text += cat("\n\nbatch ", m.plan.batch, ", ", options.threads, " threads: norms and clipped sums take ",
              report::rounded(m.plan.milliseconds(), 3), " ms (predicted) and keep ", mebibytes(m.plan.bytes()),
              " MiB of ", mebibytes(m.plan.memory_limit));
  if (!m.plan.fits)
    text += "\nthat is over the limit, and the least there is: lower the batch, or raise --memory-limit";
  if (!m.plan.loss_of_accuracy().empty())
    text += cat("\n", m.plan.loss_of_accuracy(), "; raise --memory-limit to keep them in float32");
  if (options.try_all)
    text += cat("\ntried: a pass takes ", report::rounded(m.tried.plan_ms, 3), " ms as planned, ",
                report::rounded(m.tried.best_ms, 3),
                " ms with the best ways found: ", report::rounded(m.tried.ratio, 3), " of it");
  return text;
}

}  // namespace

void add_plan(CLI::App& program, Action& chosen) {
  auto* command =
      program.add_subcommand("plan", "how a model gets its per-sample norms on this machine, and what it costs");
  command->footer(
      "Examples:\n"
      "  sotto plan transformer\n"
      "  sotto plan cifar_cnn --memory-limit 64MiB --try-all\n"
      "  sotto plan model.pt --input-shape 32,3,32,32\n"
      "  sotto plan model.pt --input-shape 16,128 --vocabulary 5000 --json");
  auto options = std::make_shared<PlanOptions>();
  auto json = std::make_shared<bool>(false);
  auto threads = std::make_shared<int>(0);
  command->add_option("MODEL", options->model, "a model of `sotto bench step`, or a TorchScript file (.pt)")
      ->required();
  command->add_option("--input-shape", options->input_shape, "of a TorchScript model's input, the batch first")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  command->add_option("--vocabulary", options->vocabulary, "the input is ids below this (default: it is floats)")
      ->check(CLI::PositiveNumber);
  command->add_option("--batch", options->batch, "samples a micro-batch (default: the model's)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--memory-limit", options->memory_limit,
                   "what may be kept from the backward pass until the clipped sum: bytes, or as in 512MiB")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  add_precision(*command, options->precision);
  command->add_flag("--recalibrate", options->recalibrate,
                    "time the kernels again, though this machine's times are known");
  command->add_flag("--try-all", options->try_all,
                    "time every way in the model itself, and hold the plan against the best");
  add_threads(*command, *threads);
  add_json_flag(*command, *json);
  command->callback([options, json, threads, &chosen] {
    chosen = [options, json, threads] {
      keep_freed_memory();
      options->threads = threads_of(*threads);
      const ModelPlan m =
          plan_model(*options, [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); });
      Json products = Json::array();
      for (size_t i = 0; i < m.plan.products.size(); ++i) products.push_back(describe(m, i));
      Json object = {{"model", options->model},
                     {"batch", m.plan.batch},
                     {"threads", options->threads},
                     {"captured", m.captured},
                     {"fits", m.plan.fits},
                     {"memory_limit", m.plan.memory_limit},
                     {"bytes", m.plan.bytes()},
                     {"milliseconds", m.plan.milliseconds()},
                     {"precision", options->precision},
                     {"products", products}};
      if (options->try_all && !m.tried.best.empty()) {
        Json best = Json::array();
        for (size_t i = 0; i < m.tried.best.size(); ++i)
          best.push_back(to_string(m.plan.products[i].ways[m.tried.best[i]].method));
        object["tried"] = {
            {"plan_ms", m.tried.plan_ms}, {"best_ms", m.tried.best_ms}, {"ratio", m.tried.ratio}, {"best", best}};
      }
      print(*json, object, for_people(m, *options));
      return 0;
    };
  });
}

}  // namespace sotto::app

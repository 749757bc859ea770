#include "app/command.h"
#include "base/error.h"
#include "engine/model_artifact.h"
#include "engine/predict.h"
#include "report/evaluation.h"
#include "report/numbers.h"

namespace sotto::app {

void add_eval(CLI::App& program, Action& chosen) {
  auto* command = program.add_subcommand("eval", "measure a trained model on labelled data");
  command->footer(
      "Examples:\n"
      "  sotto eval runs/readmission datasets/diabetes130/diabetic_data.csv.gz\n"
      "  sotto eval runs/readmission new_patients.parquet --split all --json");
  struct Options {
    std::string model, data, split = "test";
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("MODEL", options->model, "run folder, model.toml or model.safetensors")->required();
  command->add_option("DATA", options->data, "CSV (plain or gz) or Parquet file with the model's columns and label")
      ->required();
  command->add_option("--split", options->split, "rows to use: test (the schema's held-out units), train or all")
      ->check(CLI::IsMember({"test", "train", "all"}))
      ->capture_default_str();
  add_json_flag(*command, options->json);
  command->callback([options, &chosen] {
    chosen = [options] {
      const LoadedModel loaded = read_model(options->model);
      const data::Split split = options->split == "test"    ? data::Split::test
                                : options->split == "train" ? data::Split::train
                                                            : data::Split::all;
      const data::EncodedTable table =
          data::load(loaded.artifact.schema, options->data, split, loaded.artifact.encoding);
      const std::vector<double> scores = predict(loaded.model, to_inputs(table));
      const report::Evaluation e =
          report::evaluate(scores, std::vector<uint8_t>(table.labels.begin(), table.labels.end()));
      print(options->json,
            {{"auc", e.auc},
             {"auc_low", e.auc_interval.low},
             {"auc_high", e.auc_interval.high},
             {"average_precision", e.average_precision},
             {"log_loss", e.log_loss},
             {"brier", e.brier},
             {"count", e.count},
             {"positives", e.positives},
             {"split", options->split}},
            cat("AUC ", report::rounded(e.auc, 4), " (95 % ", report::rounded(e.auc_interval.low, 4), " to ",
                report::rounded(e.auc_interval.high, 4), "), average precision ",
                report::rounded(e.average_precision, 4), ", log loss ", report::rounded(e.log_loss, 4), ", Brier ",
                report::rounded(e.brier, 4), " on ", e.count, " units, ", e.positives,
                " positive\nThese figures are exact statistics of the data: they are not covered "
                "by the certificate."));
      return 0;
    };
  });
}

}  // namespace sotto::app

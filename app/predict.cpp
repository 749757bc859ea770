#include "engine/predict.h"

#include "app/command.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "engine/model_artifact.h"

namespace sotto::app {
namespace {

// A CSV cell that holds a comma, a quote or a line break is quoted (RFC 4180).
std::string cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace

void add_predict(CLI::App& program, Action& chosen) {
  auto* command = program.add_subcommand("predict", "score every row of a data file with a trained model");
  command->footer(
      "Example:\n  sotto predict runs/readmission datasets/diabetes130/diabetic_data.csv.gz --out scores.csv");
  struct Options {
    std::string model, data, out;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("MODEL", options->model, "run folder, model.toml or model.safetensors")->required();
  command->add_option("DATA", options->data, "CSV (plain or gz) or Parquet file with the model's columns")->required();
  command->add_option("--out", options->out, "CSV file to write: line, unit, probability")->required();
  add_json_flag(*command, options->json);
  command->callback([options, &chosen] {
    chosen = [options] {
      const LoadedModel loaded = read_model(options->model);
      data::EncodedTable table =
          data::load(loaded.artifact.schema, options->data, data::Split::every_row, loaded.artifact.encoding);
      const auto lines = table.lines;
      const auto units = table.units;
      const at::Tensor inputs = to_inputs(table);
      const std::vector<double> scores = predict(loaded.model, inputs);
      std::string text = "line,unit,probability\n";
      for (size_t i = 0; i < scores.size(); ++i)
        text += cat(lines[i], ",", units.empty() ? "" : cell(units[i]), ",", scores[i], "\n");
      write_file(options->out, text);
      print(options->json, {{"out", options->out}, {"rows", scores.size()}, {"bad_rows", table.report.bad_rows}},
            cat("wrote ", scores.size(), " probabilities to ", options->out,
                table.report.bad_rows > 0 ? cat(" (", table.report.bad_rows, " bad rows left out)") : std::string()));
      return 0;
    };
  });
}

}  // namespace sotto::app

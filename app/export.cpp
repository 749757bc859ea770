#include "app/command.h"
#include "base/error.h"
#include "engine/model_artifact.h"

namespace sotto::app {

void add_export(CLI::App& program, Action& chosen) {
  auto* command = program.add_subcommand("export", "save a trained model for other programs");
  command->footer(
      "Example:\n  sotto export runs/readmission --torchscript readmission.pt   # torch.jit.load in Python");
  struct Options {
    std::string model, torchscript;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("MODEL", options->model, "run folder, model.toml or model.safetensors")->required();
  command->add_option("--torchscript", options->torchscript, "TorchScript file to write")->required();
  add_json_flag(*command, options->json);
  command->callback([options, &chosen] {
    chosen = [options] {
      read_model(options->model).model.export_torchscript(options->torchscript);
      print(options->json, {{"torchscript", options->torchscript}}, "wrote " + options->torchscript);
      return 0;
    };
  });
}

}  // namespace sotto::app

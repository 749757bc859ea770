#include "report/report.h"

#include "app/command.h"

namespace sotto::app {

void add_report(CLI::App& program, Action& chosen) {
  auto* command = program.add_subcommand("report", "write RUN/report.html and RUN/report.json again");
  command->footer("Examples:\n  sotto report runs/readmission\n  sotto report runs/readmission --operator");
  struct Options {
    std::string run;
    bool with_operator = false, json = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("RUN", options->run, "run folder")->required();
  command->add_flag("--operator", options->with_operator,
                    "also write RUN.operator/report.html with the exact training loss: not for release");
  add_json_flag(*command, options->json);
  command->callback([options, &chosen] {
    chosen = [options] {
      report::write_report(options->run, options->with_operator);
      const std::string page = (std::filesystem::path(options->run) / "report.html").string();
      print(options->json, {{"report", page}}, "report: " + page);
      return 0;
    };
  });
}

}  // namespace sotto::app

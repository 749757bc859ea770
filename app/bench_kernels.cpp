#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "app/allocator.h"
#include "app/command.h"
#include "app/machine.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/processor.h"
#include "base/progress.h"
#include "cuda/device.h"
#include "engine/roofline/roofline.h"
#include "report/numbers.h"
#include "report/roofline_page.h"

namespace sotto::app {
namespace {

constexpr int64_t kFormatVersion = 1;

struct Options {
  std::string out = "roofline", device = "cpu", filter;
  int64_t rounds = 15;
  int threads = 0;
  bool json = false;
};

std::string now() {
  const std::time_t time = std::time(nullptr);
  std::tm parts;
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

report::Json describe(const RooflineRow& row) {
  report::Json shape = report::Json::object();
  for (const auto& [letter, size] : row.shape) shape[letter] = size;
  return {{"kernel", row.kernel},
          {"folder", row.folder},
          {"shape", shape},
          {"time_ms", row.time_ms},
          {"composite_ms", row.composite_ms},
          {"speedup", row.speedup},
          {"bytes", row.bytes},
          {"flops", row.flops},
          {"gigabytes_per_second", row.gigabytes_per_second},
          {"gigaflops", row.gigaflops},
          {"percent_of_copy", row.percent_of_copy},
          {"percent_of_matmul", row.percent_of_matmul},
          {"floor_ms", row.floor_ms},
          {"percent_of_floor", row.percent_of_floor},
          {"bound", row.bound},
          {"disagreement", row.disagreement},
          {"composite", row.composite}};
}

report::Json describe(const Roofline& roofline, const RooflineOptions& options) {
  report::Json kernels = report::Json::array();
  for (const RooflineRow& row : roofline.rows) kernels.push_back(describe(row));
  const Roofs& roofs = roofline.roofs;
  const auto cores = static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  return {{"format_version", kFormatVersion},
          {"date", now()},
          {"machine",
           {{"device", options.on_cuda ? "cuda" : "cpu"},
            {"name", options.on_cuda ? cuda_devices().front().name : processor_name()},
            {"instruction_set", instruction_set_name()},
            {"threads", options.threads},
            {"cores", cores}}},
          {"versions",
           {{"sotto", SOTTO_VERSION},
            {"LibTorch", TORCH_VERSION},
            {"CUDA toolkit", cuda_toolkit_version()},
            {"CUDA driver", cuda_driver_version()}}},
          {"rounds", options.rounds},
          {"copy", {{"gigabytes_per_second", roofs.copy_bytes_per_second / 1e9}, {"bytes", roofs.copy_bytes}}},
          {"matmul",
           {{"gigaflops", roofs.matmul_flops_per_second / 1e9}, {"size", roofs.matmul_size}, {"dtype", "float32"}}},
          {"kernels", kernels}};
}

std::string padded(std::string text, size_t width) {
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

// For a terminal: what matters of each kernel. The page has the rest.
std::string table(const Roofline& roofline) {
  std::string text = cat("copy ", report::rounded(roofline.roofs.copy_bytes_per_second / 1e9, 1), " GB/s, matmul ",
                         report::rounded(roofline.roofs.matmul_flops_per_second / 1e9, 1), " GFLOP/s\n",
                         "        ms  % of floor  × LibTorch  kernel\n");
  for (const RooflineRow& row : roofline.rows) {
    text += padded(report::rounded(row.time_ms, 4), 10) + padded(report::rounded(row.percent_of_floor, 1), 12) +
            padded(report::rounded(row.speedup, 2), 12) + "  " + row.kernel;
    for (const auto& [letter, size] : row.shape) text += cat(" ", letter, "=", size);
    text += "\n";
  }
  return text;
}

// Before minutes of measuring, not after.
void require_writable(const std::filesystem::path& folder) {
  make_folder(folder);
  if (::access(folder.c_str(), W_OK) != 0)
    throw Error(ErrorKind::io, cat("cannot write into ", folder.string(), "; choose another folder with --out"));
}

}  // namespace

void add_bench_kernels(CLI::App& bench, Action& chosen) {
  auto* command = bench.add_subcommand(
      "kernels", "sotto's kernels under the roofline of this machine, beside LibTorch's operators for the same maths");
  command->footer(
      "Examples:\n"
      "  sotto bench kernels\n"
      "  sotto bench kernels --filter 'ghost|direct' --threads 1 --out ghost\n"
      "  sotto bench kernels --device cuda --json\n"
      "Writes OUT/roofline.html, a page that opens without a network, and OUT/roofline.json.");
  auto options = std::make_shared<Options>();
  command->add_option("--out", options->out, "folder to write into")->capture_default_str();
  command->add_option("--device", options->device, "cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  add_threads(*command, options->threads);
  command->add_option("--rounds", options->rounds, "rounds in which sotto and LibTorch alternate; medians are reported")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--filter", options->filter,
                      "only kernels in whose name with shape this regular expression is found");
  add_json_flag(*command, options->json);
  command->callback([options, &chosen] {
    chosen = [options] {
      const RooflineOptions wanted{options->device == "cuda", threads_of(options->threads), options->rounds,
                                   options->filter};
      chosen_cases(wanted);  // what cannot be measured is said before a folder is made
      open_site(wanted.on_cuda, wanted.threads);
      const std::filesystem::path out = options->out;
      require_writable(out);
      keep_freed_memory();
      Roofline roofline;
      {
        std::unique_ptr<Progress> progress;
        roofline = measure_roofline(wanted, [&](int64_t done, int64_t total, const std::string& next) {
          if (!progress) progress = std::make_unique<Progress>(total, standard_error_is_terminal());
          progress->show(done, next);
        });
      }
      report::Json object = describe(roofline, wanted);
      report::write_roofline(out, object);
      const std::string page = (out / "roofline.html").string();
      if (options->json) object["report"] = page;
      print(options->json, Json(object), table(roofline) + "report: " + page);
      return 0;
    };
  });
}

}  // namespace sotto::app

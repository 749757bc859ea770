#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <arrow/util/config.h>
#include <sodium.h>
#include <sqlite3.h>
#include <torch/version.h>

#include <thread>

#include "app/command.h"
#include "app/machine.h"
#include "base/error.h"
#include "cuda/device.h"

namespace sotto::app {
namespace {

std::string instruction_set() {
  const std::string name = instruction_set_name();
  return name == "SSE2" ? name + " (slow: a machine with AVX2 or AVX-512 trains several times faster)" : name;
}

}  // namespace

void add_doctor(CLI::App& program, Action& chosen) {
  auto* command = program.add_subcommand("doctor", "what this machine and this build have, and what is missing");
  command->footer("Example:\n  sotto doctor --json");
  auto json = std::make_shared<bool>(false);
  add_json_flag(*command, *json);
  command->callback([json, &chosen] {
    chosen = [json] {
      Json gpus = Json::array();
      std::string gpu_text;
      for (const CudaDevice& device : cuda_devices()) {
        gpus.push_back({{"name", device.name},
                        {"compute_capability", cat(device.major, ".", device.minor)},
                        {"memory_bytes", device.memory_bytes}});
        gpu_text += cat("\n  ", device.name, ", compute capability ", device.major, ".", device.minor, ", ",
                        device.memory_bytes >> 30, " GiB");
      }
      Json missing = Json::array();
      if (cuda_toolkit_version() == "none")
        missing.push_back("CUDA toolkit: this build has no GPU kernels");
      else if (cuda_driver_version() == "none")
        missing.push_back("NVIDIA driver: the GPU kernels are built but nothing can run them");
      else if (gpus.empty())
        missing.push_back("GPU: a driver answers, but no device does");
      std::string missing_text;
      for (const auto& item : missing) missing_text += "\n  " + item.get<std::string>();
      const int cores = static_cast<int>(std::thread::hardware_concurrency());
      print(*json,
            {{"sotto", SOTTO_VERSION},
             {"libtorch", TORCH_VERSION},
             {"arrow", ARROW_VERSION_STRING},
             {"sqlite", sqlite3_libversion()},
             {"libsodium", sodium_version_string()},
             {"cuda_toolkit", cuda_toolkit_version()},
             {"cuda_driver", cuda_driver_version()},
             {"gpus", gpus},
             {"cores", cores},
             {"instruction_set", instruction_set()},
             {"missing", missing}},
            cat("sotto         ", SOTTO_VERSION, "\nLibTorch      ", TORCH_VERSION, "\nArrow         ",
                ARROW_VERSION_STRING, "\nSQLite        ", sqlite3_libversion(), "\nlibsodium     ",
                sodium_version_string(), "\nCUDA toolkit  ", cuda_toolkit_version(), "\nCUDA driver   ",
                cuda_driver_version(), "\nprocessor     ", cores, " cores, ", instruction_set(), "\nGPUs         ",
                gpus.empty() ? " none" : gpu_text, "\nmissing      ", missing.empty() ? " nothing" : missing_text));
      return 0;
    };
  });
}

}  // namespace sotto::app

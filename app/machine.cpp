#include "app/machine.h"

#include <fstream>

#include "kernels/noise/draw.h"

namespace sotto::app {

std::string instruction_set_name() {
  switch (kernels::best_instruction_set()) {
    case kernels::InstructionSet::avx512:
      return "AVX-512";
    case kernels::InstructionSet::avx2:
      return "AVX2";
    default:
      return "SSE2";
  }
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

}  // namespace sotto::app

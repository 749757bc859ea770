#include "app/machine.h"

#include "kernels/noise/draw.h"

namespace sotto::app {

std::string instruction_set_name() {
  switch (best_instruction_set()) {
    case InstructionSet::avx512:
      return "AVX-512";
    case InstructionSet::avx2:
      return "AVX2";
    default:
      return "SSE2";
  }
}

}  // namespace sotto::app

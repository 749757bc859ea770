#pragma once
#include <vector>

#include "base/instruction_set.h"

namespace sotto::kernels {

// The codes of the CPU's kernels that can run here, the narrowest first.
inline std::vector<InstructionSet> sets_of_this_machine() {
  std::vector<InstructionSet> sets;
  for (const InstructionSet set : {InstructionSet::plain, InstructionSet::avx2, InstructionSet::avx512})
    if (set <= best_instruction_set()) sets.push_back(set);
  return sets;
}

inline const char* name_of(InstructionSet set) {
  return set == InstructionSet::avx512 ? "AVX-512" : set == InstructionSet::avx2 ? "AVX2" : "SSE2";
}

}  // namespace sotto::kernels

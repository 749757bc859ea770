#include "base/instruction_set.h"

namespace sotto {

InstructionSet best_instruction_set() {
#ifndef SOTTO_BASELINE_ALONE
#ifndef SOTTO_WITHOUT_AVX512
  if (__builtin_cpu_supports("x86-64-v4")) return InstructionSet::avx512;
#endif
  if (__builtin_cpu_supports("x86-64-v3")) return InstructionSet::avx2;
#endif
  return InstructionSet::plain;
}

}  // namespace sotto

#pragma once

// Which vectors code for the CPU may use, said here alone. A SOTTO_VECTORISED function is compiled for every set and
// the loader picks; a lambda does not inherit it: parallel_for's lambda calls a SOTTO_VECTORISED function on its range.
// Code whose tiles depend on the vectors' width is one function a set, SOTTO_FOR_AVX512, SOTTO_FOR_AVX2 and one without
// either, of which for_set() takes one. What such functions call must be SOTTO_INLINE, into each of them.
//
// Sanitized builds have the baseline alone: the loader picks before a sanitizer's runtime is ready. Builds without
// AVX-512 (SOTTO_AVX512=OFF) measure what a machine has that lacks it.
#if !defined(__x86_64__) || defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SOTTO_BASELINE_ALONE
#define SOTTO_VECTORISED
#define SOTTO_FOR_AVX512
#define SOTTO_FOR_AVX2
#elif defined(SOTTO_WITHOUT_AVX512)
#define SOTTO_VECTORISED __attribute__((target_clones("arch=x86-64-v3", "default")))
#define SOTTO_FOR_AVX512
#define SOTTO_FOR_AVX2 __attribute__((target("arch=x86-64-v3")))
#else
#define SOTTO_VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define SOTTO_FOR_AVX512 __attribute__((target("arch=x86-64-v4")))
#define SOTTO_FOR_AVX2 __attribute__((target("arch=x86-64-v3")))
#endif
#define SOTTO_INLINE inline __attribute__((always_inline))

namespace sotto {

// The baseline (SSE2 on x86-64), x86-64-v3 and x86-64-v4.
enum class InstructionSet { plain, avx2, avx512 };

// The widest that both this machine and this build have. No other function runs code of a wider one.
InstructionSet best_instruction_set();

template <class Function>
Function* for_set(InstructionSet set, Function* avx512, Function* avx2, Function* plain) {
  return set == InstructionSet::avx512 ? avx512 : set == InstructionSet::avx2 ? avx2 : plain;
}

}  // namespace sotto

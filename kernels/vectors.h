#pragma once

namespace sotto::kernels {

// Which of the CPU's two codes: 16 floats a vector (AVX-512) or 8.
enum class Vectors { widest, narrow };

inline bool has_wide_vectors() {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
  return __builtin_cpu_supports("x86-64-v4");
#else
  return false;
#endif
}

}  // namespace sotto::kernels

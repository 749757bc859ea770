#pragma once

// For formulas that g++ and nvcc both compile. Inlined by force, so that a formula takes the instruction set of the
// kernel that uses it. These files are compiled without fused multiply-add (see cmake/sotto_library.cmake): every
// operation rounds once, and so the same bits come out on every instruction set and on CUDA.
#ifdef __CUDACC__
#define SOTTO_FORMULA __host__ __device__ __forceinline__
#else
#define SOTTO_FORMULA inline __attribute__((always_inline))
#endif

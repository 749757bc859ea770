#pragma once

// The function is compiled for several instruction sets and the widest one that the machine has is called. Results may
// differ in the last bits between machines; every bound here covers that.
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define SOTTO_PLD_VECTORISED \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3")))
#else
#define SOTTO_PLD_VECTORISED
#endif

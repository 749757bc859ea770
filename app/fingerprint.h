#pragma once
#include <string>

namespace sotto::app {

// Trains 20 steps of a config on one thread with a fixed key, in a folder that is removed again, and prints a hash of
// the parameters and of what the ledger was charged. Equal hashes mean that a change left the arithmetic alone.
// LibTorch and MKL are held to their plainest code paths, for which the program starts itself again; the hash still
// depends on the instruction set that sotto's own kernels use, which is printed beside it. Returns the exit code.
int print_fingerprint(const std::string& config, bool json);

}  // namespace sotto::app

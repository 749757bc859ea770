#pragma once
#include <exception>
#include <string>

#include "engine/torch.h"

namespace sotto {

// Whether an error says that memory was asked for and not there: of LibTorch's allocators, CUDA's or the heap's.
bool is_out_of_memory(const std::exception& error);

// What it says was asked for, as "733413376 bytes" or "2.00 GiB"; empty where it does not.
std::string asked_for(const std::exception& error);

// Gives back what LibTorch keeps of a device's freed memory, for tensors of other sizes.
void release_cached_memory(const at::Device& device);

}  // namespace sotto

#pragma once
#include <filesystem>

#include "engine/torch.h"

namespace sotto {

// Loads a TorchScript file for training. Throws io when it cannot be read and configuration when the model decides by
// the values of tensors (if, while, item() on data): such a model can treat a sample differently because of another
// one, and a check on synthetic data would not see it.
torch::jit::Module load_torchscript(const std::filesystem::path& path);

}  // namespace sotto

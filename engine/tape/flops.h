#pragma once
#include <functional>

namespace sotto {

// Multiplications and additions in the matrix products, convolutions and attention of a plain training step whose
// forward pass is `forward`, counted as LibTorch calls them (at::RecordFunction); element-wise work is left out. Each
// product counts once, and once more for the gradient of each factor that needs one: three times in the middle of a
// model, twice with frozen weights or behind data. Not for concurrent use on a thread.
double step_flops(const std::function<void()>& forward);

}  // namespace sotto

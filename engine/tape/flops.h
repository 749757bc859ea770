#pragma once
#include <functional>

namespace sotto {

// Multiplications and additions in the matrix products, convolutions and attention of `forward`, counted as LibTorch
// calls them (at::RecordFunction); element-wise work is left out. A plain training step takes three times those of its
// forward pass: one product for the input's gradient and one for the weight's. Not for concurrent use on a thread.
double counted_flops(const std::function<void()>& forward);

}  // namespace sotto

#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/convolution/convolution.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

const struct Layer {
  const char* name;
  ConvolutionShape shape;
} kLayers[] = {
    {"mnist_conv1", {256, 1, 16, 1, {1, 28, 28}, {1, 14, 14}, {1, 8, 8}, {1, 2, 2}, {0, 3, 3}}},
    {"mnist_conv2", {256, 16, 32, 1, {1, 13, 13}, {1, 5, 5}, {1, 4, 4}, {1, 2, 2}}},
    {"cifar_conv1", {128, 3, 32, 1, {1, 32, 32}, {1, 32, 32}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"cifar_conv2", {128, 32, 32, 1, {1, 32, 32}, {1, 32, 32}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"cifar_conv4", {128, 64, 64, 1, {1, 16, 16}, {1, 16, 16}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"cifar_conv6", {128, 128, 128, 1, {1, 8, 8}, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"resnet_1x1", {8, 64, 256, 1, {1, 56, 56}, {1, 56, 56}, {1, 1, 1}}},
    {"depthwise", {32, 64, 64, 64, {1, 32, 32}, {1, 32, 32}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}},
    {"resnext_groups", {32, 128, 128, 32, {1, 28, 28}, {1, 28, 28}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}}}};

void convolution(benchmark::State& state) {
  const auto& [name, shape] = kLayers[state.range(0)];
  const auto x = normal_values(shape.samples * shape.in_channels * shape.places(), 1);
  const auto g = normal_values(shape.samples * shape.out_channels * shape.positions(), 2);
  std::vector<float> weight(static_cast<size_t>(shape.samples * shape.elements()));
  std::vector<float> bias(static_cast<size_t>(shape.samples * shape.out_channels));
  for (auto _ : state)
    convolution_gradients(Exec::cpu(2), shape, x.data(), g.data(), {weight.data(), shape.samples, shape.elements()},
                          {bias.data(), shape.samples, shape.out_channels});
  const double flops = 2.0 * static_cast<double>(shape.samples * shape.elements() * shape.positions());
  state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(name);
}
BENCHMARK(convolution)->DenseRange(0, std::size(kLayers) - 1)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sotto::kernels

#include "kernels/noise/noise.h"

#include <cmath>

#include "base/error.h"
#include "kernels/noise/noise_impl.h"
#include "kernels/vectorised.h"

namespace sotto::kernels {
namespace {

SOTTO_VECTORISED void scale_normals(float stddev, const float* normals, float* out, int64_t count) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) out[i] = stddev * normals[i];
}

SOTTO_VECTORISED void add_normals(float stddev, const float* normals, const float* sum, float* out, int64_t count) {
#pragma GCC ivdep  // `out` is `sum` or apart from it
  for (int64_t i = 0; i < count; ++i) out[i] = sum[i] + stddev * normals[i];
}

}  // namespace

NoisePlan plan_noise(const StreamKey& stream, double stddev, int64_t first, int64_t size) {
  float rounded = static_cast<float>(stddev);
  if (rounded < stddev) rounded = std::nextafter(rounded, INFINITY);
  require(stddev > 0 && std::isfinite(rounded),
          "the noise's standard deviation must be positive and finite in float32, got ", stddev);
  require(first >= 0 && first % kNormalsPerBlock == 0, "noise starts at a multiple of ", kNormalsPerBlock,
          " of the whole tensor, got position ", first);
  const int log2_length = log2_blocks(stream.generator) + kLog2NormalsPerBlock;
  const int64_t stream_length = int64_t{1} << log2_length;
  require(size >= 0 && first <= stream_length && size <= stream_length - first, "a stream has 2^", log2_length,
          " normals, got ", size, " elements from position ", first, "; give the rest its own tensor");
  return {stream, rounded, static_cast<uint32_t>(first / kNormalsPerBlock)};
}

void fill_gaussian(const Exec& exec, const StreamKey& stream, double stddev, VectorView<float> out, int64_t first) {
  const NoisePlan noise = plan_noise(stream, stddev, first, out.size);
  if (exec.on_cuda()) return add_gaussian_cuda(exec, noise, nullptr, out);
  with_normals(exec, noise, out.size, [&](int64_t begin, int64_t count, const float* normals) {
    scale_normals(noise.stddev, normals, out.data + begin, count);
  });
}

void add_gaussian(const Exec& exec, const StreamKey& stream, double stddev, VectorView<const float> sum,
                  VectorView<float> out, int64_t first) {
  const NoisePlan noise = plan_noise(stream, stddev, first, out.size);
  require(sum.size == out.size, "out has ", out.size, " entries for a sum of ", sum.size);
  if (exec.on_cuda()) return add_gaussian_cuda(exec, noise, sum.data, out);
  with_normals(exec, noise, out.size, [&](int64_t begin, int64_t count, const float* normals) {
    add_normals(noise.stddev, normals, sum.data + begin, out.data + begin, count);
  });
}

}  // namespace sotto::kernels

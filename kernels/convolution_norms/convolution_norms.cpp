#include "kernels/convolution_norms/convolution_norms.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/convolution_norms/convolution_norms_impl.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kMostPlacesOnCuda = 4096;  // what a block's shared memory holds sums for

}  // namespace

double convolution_rounding(int64_t positions) {
  const double chains = double(positions) / kConvolutionChain + 1;
  return gamma_of(2 * kConvolutionChain + 8 + chains, kFloatUnit);
}

void accumulate_convolution_norms(const Exec& exec, const ConvolutionShape& shape, const float* x, const float* g,
                                  VectorView<double> squared) {
  require_convolution(shape);
  for (const int k : {0, 1, 2})
    require(shape.stride[k] == 1, "a box filter needs a convolution of stride 1, got ", shape.stride[k],
            " in dimension ", k);
  require(squared.size == shape.samples, "need a norm a sample: ", squared.size, " norms for ", shape.samples,
          " samples");
  require(!exec.on_cuda() || shape.places() <= kMostPlacesOnCuda, "on CUDA an image has at most ", kMostPlacesOnCuda,
          " places, got ", shape.places());
  if (shape.samples == 0) return;
  const ConvolutionNorms work{shape, x, g, squared.data, convolution_rounding(shape.positions())};
  if (exec.on_cuda()) return accumulate_convolution_norms_cuda(exec, work);
  const int64_t places = shape.places(), positions = shape.positions();
  const int64_t cost =
      places * places * shape.in_channels + positions * positions * (shape.out_channels + shape.taps());
  const int64_t grain = (int64_t{1} << 20) / std::max<int64_t>(1, cost) + 1;
  parallel_for(exec.threads(), shape.samples, grain,
               [&](int64_t begin, int64_t end) { add_convolution_norms_cpu(work, begin, end); });
}

}  // namespace sotto::kernels

#include "base/error.h"
#include "kernels/convolution_norms/convolution_norms_impl.h"

namespace sotto::kernels {

void accumulate_convolution_norms_cuda(const Exec&, const ConvolutionNorms&) {
  throw Error(ErrorKind::cuda, "accumulate_convolution_norms: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

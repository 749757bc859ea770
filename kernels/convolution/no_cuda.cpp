#include "base/error.h"
#include "kernels/convolution/convolution_impl.h"

namespace sotto::kernels {

void convolution_gradients_cuda(const Exec&, const ConvolutionGradients&) {
  throw Error(ErrorKind::cuda, "convolution_gradients: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

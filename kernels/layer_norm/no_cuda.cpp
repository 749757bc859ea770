#include "base/error.h"
#include "kernels/layer_norm/layer_norm_impl.h"

namespace sotto::kernels {

void layer_norm_backward_cuda(const Exec&, const LayerNormArguments&) {
  throw Error(ErrorKind::cuda, "layer_norm_backward: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

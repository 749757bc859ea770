#include "base/error.h"
#include "kernels/recurrent/recurrent_impl.h"

namespace sotto::kernels {

void cell_forward_cuda(const Exec&, const ForwardStep&) {
  throw Error(ErrorKind::cuda, "cell_forward: this sotto was built without the CUDA toolkit");
}

void cell_backward_cuda(const Exec&, const BackwardStep&) {
  throw Error(ErrorKind::cuda, "cell_backward: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

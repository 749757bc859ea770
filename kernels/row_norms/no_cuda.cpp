#include "base/error.h"
#include "kernels/row_norms/row_norms_impl.h"

namespace sotto::kernels {

void accumulate_row_norms_cuda(const Exec&, MatrixView<const float>, VectorView<double>) {
  throw Error(ErrorKind::cuda, "accumulate_row_norms: this sotto was built without the CUDA toolkit");
}

void accumulate_row_norms_cuda(const Exec&, MatrixView<const Bfloat16>, VectorView<double>) {
  throw Error(ErrorKind::cuda, "accumulate_row_norms: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

#include "base/error.h"
#include "kernels/outer_norms/outer_norms_impl.h"

namespace sotto::kernels {

void accumulate_outer_norms_cuda(const Exec&, MatrixView<const float>, MatrixView<const float>, bool,
                                 VectorView<double>) {
  throw Error(ErrorKind::cuda, "accumulate_outer_norms: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

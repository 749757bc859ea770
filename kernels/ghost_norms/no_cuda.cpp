#include "base/error.h"
#include "kernels/ghost_norms/ghost_norms_impl.h"

namespace sotto::kernels {

void accumulate_ghost_norms_cuda(const Exec&, const GhostInput&, VectorView<double>) {
  throw Error(ErrorKind::cuda, "accumulate_ghost_norms: this sotto was built without the CUDA toolkit");
}

void accumulate_direct_norms_cuda(const Exec&, const GhostInput&, VectorView<double>) {
  throw Error(ErrorKind::cuda, "accumulate_direct_norms: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

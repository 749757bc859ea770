#include "base/error.h"
#include "kernels/group_norm/group_norm_impl.h"

namespace sotto::kernels {

void group_norm_backward_cuda(const Exec&, const GroupNormArguments&) {
  throw Error(ErrorKind::cuda, "group_norm_backward: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

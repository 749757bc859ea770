#include "base/error.h"
#include "kernels/clip/clip_impl.h"

namespace sotto::kernels {

void clip_factors_cuda(const Exec&, VectorView<const double>, const ClipFunction&, double, VectorView<float>) {
  throw Error(ErrorKind::cuda, "clip_factors: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

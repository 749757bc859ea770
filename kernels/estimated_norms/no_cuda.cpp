#include "base/error.h"
#include "kernels/estimated_norms/estimated_norms_impl.h"

namespace sotto::kernels {

void estimate_product_norms_cuda(const Exec&, const EstimateInput&, VectorView<double>) {
  throw Error(ErrorKind::cuda, "estimate_product_norms: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

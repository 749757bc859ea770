#include "base/error.h"
#include "kernels/embedding_norms/embedding_norms_impl.h"

namespace sotto::kernels {

void accumulate_embedding_norms_cuda(const Exec&, const int64_t*, MatrixView<const float>, const Segments&, int64_t,
                                     VectorView<double>) {
  throw Error(ErrorKind::cuda, "accumulate_embedding_norms: this sotto was built without the CUDA toolkit");
}

void accumulate_tied_cross_norms_cuda(const Exec&, const TiedInput&, VectorView<double>) {
  throw Error(ErrorKind::cuda, "accumulate_tied_cross_norms: this sotto was built without the CUDA toolkit");
}

void accumulate_tied_cross_norms_cuda(const Exec&, const Bfloat16TiedInput&, VectorView<double>) {
  throw Error(ErrorKind::cuda, "accumulate_tied_cross_norms: this sotto was built without the CUDA toolkit");
}

}  // namespace sotto::kernels

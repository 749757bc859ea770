#include "base/error.h"
#include "kernels/sample_gradients/sample_gradients_impl.h"

// Takes the place of sample_gradients.cu where sotto is built without the CUDA toolkit.
namespace sotto::kernels {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorKind::cuda, "sample_gradients: this sotto was built without the CUDA toolkit");
}

}  // namespace

void sample_gradients_cuda(const Exec&, MatrixView<const float>, MatrixView<const float>, int64_t, MatrixView<float>) {
  refuse();
}

void sample_gradients_cuda(const Exec&, MatrixView<const float>, MatrixView<const float>, int64_t,
                           MatrixView<Bfloat16>) {
  refuse();
}

}  // namespace sotto::kernels

#include "base/error.h"
#include "kernels/ghost_norms/tensor_norms_impl.h"

namespace sotto::kernels {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorKind::cuda, "norms of sequences: this sotto was built without the CUDA toolkit");
}

}  // namespace

void accumulate_ghost_norms_cuda(const Exec&, const GhostInput&, VectorView<double>) {
  refuse();
}
void accumulate_ghost_norms_cuda(const Exec&, const Bfloat16GhostInput&, VectorView<double>) {
  refuse();
}
void accumulate_direct_norms_cuda(const Exec&, const GhostInput&, VectorView<double>) {
  refuse();
}
void accumulate_direct_norms_cuda(const Exec&, const Bfloat16GhostInput&, VectorView<double>) {
  refuse();
}
void accumulate_tensor_ghost_norms(const Exec&, const GhostInput&, VectorView<double>, VectorView<double>) {
  refuse();
}
void accumulate_tensor_ghost_norms(const Exec&, const Bfloat16GhostInput&, VectorView<double>, VectorView<double>) {
  refuse();
}
void accumulate_tensor_direct_norms(const Exec&, const GhostInput&, VectorView<double>, VectorView<double>) {
  refuse();
}
void accumulate_tensor_direct_norms(const Exec&, const Bfloat16GhostInput&, VectorView<double>, VectorView<double>) {
  refuse();
}

}  // namespace sotto::kernels

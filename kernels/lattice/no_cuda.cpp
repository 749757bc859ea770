#include "base/error.h"
#include "kernels/lattice/discrete_gaussian_impl.h"
#include "kernels/lattice/lattice_impl.h"

// Takes the place of *.cu where sotto is built without the CUDA toolkit.
namespace sotto::kernels {
namespace {

[[noreturn]] void no_cuda() {
  throw Error(ErrorKind::cuda, "this sotto was built without the CUDA toolkit; install CUDA 13 and build again");
}

}  // namespace

void accumulate_lattice_norms_cuda(const Exec&, MatrixView<const float>, VectorView<const float>,
                                   VectorView<const Rounding>, double, VectorView<Uint128>) {
  no_cuda();
}

void accumulate_on_lattice_cuda(const Exec&, MatrixView<const float>, VectorView<const float>,
                                VectorView<const Rounding>, double, VectorView<int64_t>) {
  no_cuda();
}

void scale_from_lattice_cuda(const Exec&, VectorView<const int64_t>, double, VectorView<float>) {
  no_cuda();
}

void add_discrete_gaussian_cuda(const Exec&, const StreamKey&, int, uint32_t, VectorView<int64_t>) {
  no_cuda();
}

}  // namespace sotto::kernels

#include "base/error.h"
#include "kernels/clipped_sum/clipped_products_impl.h"
#include "kernels/clipped_sum/clipped_sum_impl.h"

namespace sotto::kernels {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorKind::cuda, "clipped sums: this sotto was built without the CUDA toolkit");
}

}  // namespace

void accumulate_clipped_outer_cuda(const Exec&, MatrixView<const float>, MatrixView<const float>,
                                   VectorView<const float>, const Segments&, MatrixView<float>, VectorView<float>) {
  refuse();
}

void accumulate_clipped_outer_cuda(const Exec&, MatrixView<const Bfloat16>, MatrixView<const Bfloat16>,
                                   VectorView<const float>, const Segments&, MatrixView<float>, VectorView<float>) {
  refuse();
}

void accumulate_clipped_rows_cuda(const Exec&, MatrixView<const float>, VectorView<const float>, VectorView<float>) {
  refuse();
}

void accumulate_clipped_rows_cuda(const Exec&, MatrixView<const float>, VectorView<const float>, VectorView<double>) {
  refuse();
}

void accumulate_clipped_rows_cuda(const Exec&, MatrixView<const Bfloat16>, VectorView<const float>, VectorView<float>) {
  refuse();
}

void accumulate_clipped_embedding_cuda(const Exec&, const int64_t*, MatrixView<const float>, VectorView<const float>,
                                       const Segments&, int64_t, MatrixView<float>) {
  refuse();
}

template <class T>
void write_scaled_rows_cuda(const Exec&, MatrixView<const T>, MatrixView<const T>, VectorView<const float>, float*,
                            float*) {
  refuse();
}
template void write_scaled_rows_cuda(const Exec&, MatrixView<const float>, MatrixView<const float>,
                                     VectorView<const float>, float*, float*);
template void write_scaled_rows_cuda(const Exec&, MatrixView<const Bfloat16>, MatrixView<const Bfloat16>,
                                     VectorView<const float>, float*, float*);

void add_clipped_products_cuda(const Exec&, const ProductStep&, VectorView<const float>, const float*,
                               VectorView<double>, float*) {
  refuse();
}

}  // namespace sotto::kernels

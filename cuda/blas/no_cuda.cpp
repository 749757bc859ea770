#include "base/error.h"
#include "cuda/blas/blas.h"

namespace sotto {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorKind::cuda, "matrix products: this sotto was built without the CUDA toolkit");
}

}  // namespace

struct Blas::State {};

Blas::Blas(size_t) {
  refuse();
}
Blas::~Blas() = default;
size_t Blas::workspace_limit() const {
  refuse();
}
size_t Blas::workspace_bytes(const Matmul&) {
  refuse();
}
void Blas::multiply(const Exec&, const Matmul&, const void*, const void*, float*, void*) {
  refuse();
}

}  // namespace sotto

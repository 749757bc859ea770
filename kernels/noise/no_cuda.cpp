#include "base/error.h"
#include "kernels/noise/noise_impl.h"

// Takes the place of noise.cu where sotto is built without the CUDA toolkit.
namespace sotto::kernels {

void add_gaussian_cuda(const Exec&, const NoisePlan&, const float*, VectorView<float>) {
  throw Error(ErrorKind::cuda, "this sotto was built without the CUDA toolkit; install CUDA 13 and build again");
}

}  // namespace sotto::kernels

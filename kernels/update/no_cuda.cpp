#include "base/error.h"
#include "kernels/update/planned.h"

// Takes the place of update.cu where sotto is built without the CUDA toolkit.
namespace sotto::kernels {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorKind::cuda, "this sotto was built without the CUDA toolkit; install CUDA 13 and build again");
}

}  // namespace

void sgd_cuda(const Exec&, const NoisePlan*, const SgdFactors&, const float*, float*, VectorView<float>) {
  refuse();
}

void adam_cuda(const Exec&, const NoisePlan*, const AdamFactors&, const float*, float*, float*, VectorView<float>) {
  refuse();
}

void apply_cuda(const Exec&, const UpdateLaunch&, const PlannedSgd*) {
  refuse();
}

void apply_cuda(const Exec&, const UpdateLaunch&, const PlannedAdam*) {
  refuse();
}

void apply_cuda(const Exec&, const UpdateLaunch&, const PlannedLamb*) {
  refuse();
}

void lamb_cuda(const Exec&, const NoisePlan*, const PlannedLamb&) {
  refuse();
}

}  // namespace sotto::kernels

#include "accountants/iteration.h"

#include <cmath>

#include "accountants/directed.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

void assume(bool met, const char* what) {
  if (!met) throw Error(ErrorKind::configuration, cat("no amplification by iteration: ", what));
}

void check_positive(double value, const char* name) {
  require(std::isfinite(value) && value > 0, name, " must be finite and above 0, got ", value);
}

}  // namespace

double rdp_by_iteration(const ContractiveDescent& descent, int64_t place, double order) {
  check_positive(descent.lipschitz, "the Lipschitz bound");
  check_positive(descent.smoothness, "the smoothness");
  check_positive(descent.step_size, "the step size");
  check_positive(descent.noise_deviation, "the noise's deviation");
  require(descent.records >= 1 && place >= 1 && place <= descent.records, "record ", place, " is not one of ",
          descent.records);
  require(order > 1, "the order must be above 1, got ", order);
  assume(descent.convex, "it is proved for convex losses on a convex set; a network's are not");
  assume(descent.only_last_iterate_released, "earlier iterates must stay secret");
  assume(descent.step_size * descent.smoothness <= 2, "a step size above 2 / smoothness may drive iterates apart");
  const double after = static_cast<double>(descent.records - place + 1);
  const double l = descent.lipschitz;
  const double top = times_up(times_up(2, times_up(l, l)), order);
  return divide_up(divide_up(top, square_down(descent.noise_deviation)), after);
}

}  // namespace sotto::accountants

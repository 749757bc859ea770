#pragma once
#include <optional>
#include <vector>

#include "accountants/pld/grid_law.h"

namespace sotto::accountants {

// Of a pair (P, Q): the data set with the unit against the one without (remove: losses log P/Q under P), or the other
// way round (add: losses log Q/P under Q).
enum class Direction { remove, add };

// A rough picture of one use's loss: masses at losses that need not be bounds of anything. It only chooses tilt, step
// and window; the bounds hold for any choice.
struct LossSketch {
  std::vector<double> mass, loss;
};

// One use in two parts: outputs of small losses, whose grid is fine, and the rare ones of large losses.
struct SplitLaw {
  BracketedLaw bulk;
  BracketedLaw rare;  // above: at least the outputs that the bulk has not; below: none that the bulk has
};

// How to split. Losses above where outputs of P mass bulk_tail begin are rare; so are those at the lower end, which
// above count as the least that are not and below not at all. `tail` as in on_grid.
struct SplitGrid {
  double bulk_step, bulk_tail, rare_step, tail;
  size_t most_levels;
};

// The privacy loss of one use of a mechanism, in both directions.
class LossLaw {
 public:
  virtual ~LossLaw() = default;

  // The law on a grid of this step, from both sides. Outputs of a mass of at most `tail` at either end may count as
  // +infinity above and not at all below. No more than most_levels levels: the tails grow instead, or the law throws
  // invalid_argument.
  virtual BracketedLaw on_grid(Direction direction, double step, double tail, size_t most_levels) const = 0;
  // Nothing where a law cannot, or need not: few losses are rare.
  virtual std::optional<SplitLaw> split(Direction /*direction*/, const SplitGrid& /*grid*/) const {
    return std::nullopt;
  }
  virtual LossSketch sketch(Direction direction, double tail) const = 0;
  // From the lowest to the highest loss that such tails leave.
  virtual double span(double tail) const = 0;
  // No loss is larger; rounded up, +infinity where there is no limit.
  virtual double most_loss(Direction direction) const = 0;
  // The probability that the output tells for certain whether the unit is there. At 1 a law has no grid.
  virtual double at_infinity() const { return 0; }
  // The spacing of a grid that all losses lie on, 0 where there is none: on_grid is exact for steps that divide it.
  virtual double lattice() const { return 0; }
};

}  // namespace sotto::accountants

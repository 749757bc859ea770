#include "accountants/pld/group.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "accountants/pld/cell_law.h"
#include "accountants/pld/numerics.h"
#include "accountants/pld/tilted.h"

namespace sotto::accountants {
namespace {

constexpr double kFolded = 42;             // −log of the tilted mass that window's ends may fold back
constexpr double kWidest = 600;            // e^loss must stay a double, counted from the middle of the window
constexpr double kMostPower = 1e4;         // exponent · loss: beyond, bounds gain nothing and their rounding counts
constexpr double kMassError = 64 * kUnit;  // relative, of a mass that was put onto a level and of its distances

// The least of a function with one valley on (0, most], sought around `guess` by factors.
template <class Function>
double least_near(double guess, double most, const Function& f) {
  double at = std::min(guess, most), value = f(at);
  for (double factor = 4; factor > 1.05; factor = std::sqrt(factor))
    for (const double move : {factor, 1 / factor})
      for (double next = std::min(most, at * move), tried = f(next); tried < value;
           next = std::min(most, next * move), tried = f(next))
        at = next, value = tried;
  return at;
}

class Group {
 public:
  Group(const LawPart& part, const GroupView& view)
      : law_(part.law),
        above_(uses(part)),
        below_(above_ - static_cast<double>(part.left_out)),
        view_(view),
        at_(cumulant(law_.above, view.theta)),
        at_below_(cumulant(law_.below, view.theta)) {}

  // Chernoff's bounds say where: beyond the top the plain law has e^−log_tail and the tilted one e^−kFolded, below the
  // bottom the plain law, tilted as if it were there, e^−kFolded.
  bool place() {
    const double spread = std::sqrt(std::max(variance() * above_, std::numeric_limits<double>::min()));
    const LossAtoms& atoms = law_.above;
    const double largest = std::max(std::abs(atoms.loss(0)), std::abs(atoms.loss(atoms.mass.size() - 1)));
    const double most = kMostPower / std::max(largest, atoms.step);
    const auto top_at = [&](double more) {
      const double s = view_.theta + more, k = above_ * cumulant(law_.above, s);
      return std::max((k + view_.log_tail) / s, (k - above_ * at_ + kFolded) / more);
    };
    high_ = least_near(9 / spread, most, [&](double more) { return finite_or_most(top_at(more)); });
    const auto bottom_at = [&](double less) {
      return -(kFolded - above_ * at_ + above_ * cumulant(law_.above, -less)) / (less + view_.theta);
    };
    low_ = least_near(9 / spread, most, [&](double less) { return finite_or_most(-bottom_at(less)); });
    top_ = top_at(high_), bottom_ = bottom_at(low_);
    if (!(top_ - bottom_ < kWidest && bottom_ < top_)) return false;
    return (top_ - bottom_) / law_.above.step + 4 < static_cast<double>(view_.largest_transform);
  }

  BracketedLaw sum(const LawPart& part) {
    const double h = law_.above.step;
    const size_t size = std::bit_ceil(static_cast<size_t>((top_ - bottom_) / h) + 4);
    const TiltedSum found = tilted_sum({part}, view_.theta, h, size);
    // Q's masses times a constant: losses are counted from a level in the middle.
    const double middle = std::round(0.5 * (bottom_ + top_) / view_.step);
    const auto low = static_cast<int64_t>(std::floor(bottom_ / view_.step - middle)) - 1;
    const auto high = static_cast<int64_t>(std::ceil(top_ / view_.step - middle)) + 1;
    middle_ = middle * view_.step;
    const double farthest = std::max(std::abs(top_), std::abs(bottom_));
    GridBuilder grid(static_cast<double>(low) * view_.step, view_.step, static_cast<size_t>(high - low) + 1,
                     kMassError + 4 * kUnit * farthest);
    std::vector<double> level_errors;
    for (int64_t m = low; m <= high; ++m)
      level_errors.push_back(4 * kUnit * (std::abs(static_cast<double>(m) * view_.step)));
    grid.set_loss_errors(std::move(level_errors));
    place_above(found, grid);
    grid.settle();
    BracketedLaw one = grid.remove();
    one.below = below(found);
    one.below.first -= low;
    one.mass_error += above_ * (law_.mass_error + std::max(cumulant_error(law_.above, view_.theta),
                                                           cumulant_error(law_.below, view_.theta))) +
                      8 * kUnit * (above_ * std::abs(at_) + view_.theta * (std::abs(top_) + std::abs(bottom_)));
    one.loss_error += above_ * law_.loss_error + 8 * kUnit * (above_ * std::abs(law_.above.offset) + farthest);
    for (LossAtoms* side : {&one.above, &one.below})
      side->first += low + static_cast<int64_t>(middle), side->offset = 0;
    one.below.at_infinity = -std::expm1(below_ * std::log1p(-law_.below.at_infinity)) * (1 - 1e-9);
    return one;
  }

 private:
  static double finite_or_most(double value) {
    return std::isfinite(value) ? value : std::numeric_limits<double>::max();
  }

  double variance() const {
    double sum = 0, first = 0, second = 0;
    for (size_t i = 0; i < law_.above.mass.size(); ++i) {
      const double loss = law_.above.loss(i), weight = law_.above.mass[i] * std::exp(view_.theta * loss);
      sum += weight, first += weight * loss, second += weight * loss * loss;
    }
    return second / sum - first / sum * (first / sum);
  }

  double rounding(double exponent, double loss) const {
    return above_ * cumulant_error(law_.above, exponent) +
           8 * kUnit * (std::abs(exponent * loss) + above_ * std::abs(cumulant(law_.above, exponent)));
  }

  // Calls visit(loss, tilted mass) for each level of the sum between bottom and top.
  template <class Visit>
  void for_each_level(const std::vector<double>& masses, double count, Visit visit) const {
    const double h = law_.above.step, base = count * law_.above.offset;
    const auto size = static_cast<int64_t>(masses.size());
    const auto first = static_cast<int64_t>(std::ceil((bottom_ - base) / h));
    const auto last = static_cast<int64_t>(std::floor((top_ - base) / h));
    for (int64_t m = first; m <= last; ++m)
      visit(base + static_cast<double>(m) * h,
            masses[static_cast<size_t>(m) & static_cast<size_t>(size - 1)] / static_cast<double>(size));
  }

  void place_above(const TiltedSum& found, GridBuilder& grid) const {
    const double scale = above_ * at_;
    for_each_level(found.masses.imag, above_, [&](double loss, double tilted) {
      const double mass = (std::max(0.0, tilted) + found.above.each) * std::exp(scale - view_.theta * loss);
      const double beside = loss - middle_;
      const size_t low = level_below(grid, beside);
      const double q = mass * std::exp(-beside), from = std::clamp(beside - grid.level(low), 0.0, view_.step);
      grid.add_above(low, low + 1, q, mass * -std::expm1(-from), mass * std::expm1(view_.step - from));
    });
    const double s = view_.theta + high_;
    grid.add_p_at_infinity(std::exp(above_ * cumulant(law_.above, s) - s * top_ + rounding(s, top_)) +
                           above_ * law_.above.at_infinity * (1 + 1e-9));
    grid.add_p_at(level_below(grid, bottom_ - middle_) + 1,
                  std::exp(above_ * cumulant(law_.above, -low_) + low_ * bottom_ + rounding(low_, bottom_)));
  }

  LossAtoms below(const TiltedSum& found) const {
    const double scale = below_ * at_below_, s = view_.theta + high_;
    const double over = below_ * (cumulant(law_.below, s) - at_below_) - high_ * top_;
    const double under = below_ * (cumulant(law_.below, -low_) - at_below_) + (low_ + view_.theta) * bottom_;
    const double folded = std::exp(over + rounding(s, top_) + rounding(view_.theta, top_)) +
                          std::exp(under + rounding(low_, bottom_) + rounding(view_.theta, bottom_));
    LossCells cells;
    for_each_level(found.masses.real, below_, [&](double loss, double tilted) {
      const double sure = tilted - found.below.each - std::min(1.0, folded);
      if (!(sure > 0)) return;
      const double mass = sure * std::exp(scale - view_.theta * loss), beside = loss - middle_;
      cells.p.push_back(mass);
      cells.q.push_back(mass * std::exp(-beside));
      cells.loss.push_back(beside);
    });
    return atoms_below(cells, 0, view_.step);
  }

  size_t level_below(const GridBuilder& grid, double loss) const {
    return static_cast<size_t>((loss - grid.level(0)) / view_.step);
  }

  const BracketedLaw& law_;
  double above_, below_;
  const GroupView& view_;
  double at_, at_below_;
  double high_ = 0, low_ = 0, top_ = 0, bottom_ = 0, middle_ = 0;
};

}  // namespace

std::optional<BracketedLaw> as_one_use(const LawPart& part, const GroupView& view) {
  Group group(part, view);
  if (!group.place()) return std::nullopt;
  BracketedLaw one = group.sum(part);
  if (!(one.above.at_infinity < 1)) return std::nullopt;
  return one;
}

}  // namespace sotto::accountants

#include "accountants/search.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kWidestGap = 1e-2, kFinestGap = 1e-6;
constexpr double kLongestMove = 7;  // in ln value: a factor of 1,000
constexpr int kMostTrials = 200, kMostUndecided = 6;

// A secant search in u = ± ln value, of which ε is an increasing function, for the zero of y = ln(ε / target).
class Search {
 public:
  using BracketAt = std::function<Bracket(double, double)>;
  Search(const Parameter& parameter, double target, const BracketAt& bracket_at)
      : parameter_(parameter), target_(target), bracket_at_(bracket_at), sign_(parameter.more_costs_less ? -1 : 1) {}

  Calibration from(double guess) {
    double value = std::clamp(parameter_.whole ? std::round(guess) : guess, parameter_.least, parameter_.most);
    double gap = kWidestGap;
    for (int trial = 0; trial < kMostTrials; ++trial) {
      judge(value, gap);
      if (finished()) {
        prove();
        return {found_.fits, found_.fails, 0};
      }
      const double next = candidate();
      // The secant's error is of second order, that of a bracket's likely value far less than its width: nothing
      // narrower than what they leave unknown is paid for.
      const double unknown = last_y_ * last_y_ + 0.05 * last_gap_;
      const double last = gap;
      gap = std::clamp(std::max(0.5 * unknown, 1.4 * slope_ * std::abs(place(next) - root_)), finest_gap(), kWidestGap);
      if (next == value) gap = std::max(finest_gap(), std::min(gap, last / 8));
      value = next;
    }
    throw Error(ErrorKind::internal, cat("no end of the search for epsilon ", target_, " near ", value));
  }

 private:
  double place(double value) const { return sign_ * std::log(value); }
  double cheapest() const { return sign_ > 0 ? parameter_.least : parameter_.most; }
  double costliest() const { return sign_ > 0 ? parameter_.most : parameter_.least; }

  // A bracket that holds the target decides nothing, but tells where the root is: the next one is narrower or
  // elsewhere. Where narrower ones are not to be had, the value fails: it could not be shown to fit.
  void judge(double value, double gap) {
    Bracket epsilon = bracket_at_(value, gap);
    if (!outside(epsilon) && epsilon.lower == 0 && std::isfinite(epsilon.upper) && gap > finest_gap()) {
      gap = finest_gap();  // an accountant without lower ends, or a bracket too wide to tell anything
      epsilon = bracket_at_(value, gap);
    }
    if (epsilon.lower > 0 && !outside(epsilon) && relative_width(epsilon) > gap)
      reach_ = std::max(reach_, relative_width(epsilon));
    undecided_ = outside(epsilon) ? 0 : undecided_ + 1;
    const bool narrower = gap > finest_gap() && std::isfinite(epsilon.upper) && undecided_ < kMostUndecided;
    if (epsilon.upper <= target_)
      found_.fits = Trial{value, epsilon};
    else if (epsilon.lower > target_ || !narrower)
      found_.fails = Trial{value, epsilon};
    learn(place(value), epsilon, gap);
  }

  // What fails because brackets cannot be narrow enough gives way to what is known to, a little farther off.
  void prove() {
    if (!found_.fails || found_.fails->epsilon.lower > target_ || reach_ == 0) return;
    const double u = std::min(root_ + 1.2 * reach_ / slope_, place(costliest()));
    double value = std::clamp(std::exp(sign_ * u), parameter_.least, parameter_.most);
    if (parameter_.whole) value = sign_ > 0 ? std::ceil(value) : std::floor(value);
    const Bracket epsilon = bracket_at_(value, finest_gap());
    if (epsilon.lower > target_) found_.fails = Trial{value, epsilon};
  }

  bool outside(const Bracket& epsilon) const { return epsilon.upper <= target_ || epsilon.lower > target_; }
  static double relative_width(const Bracket& epsilon) { return (epsilon.upper - epsilon.lower) / epsilon.upper; }

  // Half of what tells apart two values as near as the answer's ends may be, or of what the accountant can reach.
  double finest_gap() const {
    const double wanted = parameter_.whole ? 0 : 0.25 * slope_ * parameter_.relative_tolerance;
    return std::clamp(std::max(wanted, reach_), kFinestGap, kWidestGap);
  }

  void learn(double u, const Bracket& epsilon, double gap) {
    // A privacy loss distribution's upper end is twice as far from the truth as its lower one
    // (accountants/pld/solve.cpp).
    const double likely = epsilon.lower > 0 ? epsilon.lower + (epsilon.upper - epsilon.lower) / 3 : epsilon.upper;
    const double y = std::clamp(std::log(likely / target_), -50.0, 50.0);
    known_ = std::abs(y) < 50;
    root_ = u;
    if (!known_) return;
    const double rise = (y - previous_y_) / (u - previous_u_);
    const double noise = epsilon.lower > 0 ? 4 * gap : 1e-9;  // what one accountant's upper ends alone have of rounding
    if (has_previous_ && std::abs(y - previous_y_) > noise && std::isfinite(rise) && rise > 0)
      slope_ = std::clamp(rise, 1e-3, 1e3);
    has_previous_ = true;
    previous_u_ = u;
    previous_y_ = last_y_ = y;
    last_gap_ = gap;
    root_ = u - std::clamp(y / slope_, -kLongestMove, kLongestMove);
  }

  bool finished() const {
    if (!found_.fits && !found_.fails) return false;
    if (!found_.fits) return found_.fails->value == cheapest();
    if (!found_.fails) return found_.fits->value == costliest();
    const double apart = place(found_.fails->value) - place(found_.fits->value);
    if (apart * slope_ <= 2 * reach_) return true;  // nearer than brackets can tell
    if (parameter_.whole) return std::abs(found_.fails->value - found_.fits->value) <= 1;
    return apart <= parameter_.relative_tolerance;
  }

  // The next value to try: at the root, or beside it on the side where the answer is still far away.
  double candidate() {
    const double low = place(found_.fits ? found_.fits->value : cheapest());
    const double high = place(found_.fails ? found_.fails->value : costliest());
    const double width = high - low;
    // What shrinks the interval too slowly is replaced by halving it.
    const bool slow = found_.fits && found_.fails && ++narrowing_ % 3 == 0 && width > 0.5 * last_width_;
    if (narrowing_ % 3 == 0) last_width_ = width;
    const double beside = std::max(parameter_.whole ? 0 : 0.4 * parameter_.relative_tolerance, 0.8 * reach_ / slope_);
    double u = root_;
    if (!known_)
      u = found_.fits && found_.fails ? (low + high) / 2 : root_ + (found_.fits ? kLongestMove : -kLongestMove);
    else if (low < root_ - 1.5 * beside)
      u = root_ - beside;
    else
      u = root_ + beside;
    // As long as all lie on one side, ever farther: before a kink the slope tells little.
    one_sided_ = found_.fits && found_.fails ? 0 : one_sided_ + 1;
    if (one_sided_ >= 3 && known_)
      u = previous_u_ + std::clamp((u - previous_u_) * std::exp2(one_sided_ - 2), -kLongestMove, kLongestMove);
    if (slow || (found_.fits && u <= low) || (found_.fails && u >= high)) u = (low + high) / 2;
    if (u <= low && !found_.fits) return cheapest();
    if (u >= high && !found_.fails) return costliest();
    const double value = std::exp(sign_ * u);
    return parameter_.whole ? whole(value) : std::clamp(value, parameter_.least, parameter_.most);
  }

  // The whole number at or below `value` that is strictly between what fits and what fails.
  double whole(double value) const {
    const double one = found_.fits ? found_.fits->value : cheapest() - sign_;
    const double other = found_.fails ? found_.fails->value : costliest() + sign_;
    return std::clamp(std::floor(value), std::min(one, other) + 1, std::max(one, other) - 1);
  }

  const Parameter& parameter_;
  double target_;
  const BracketAt& bracket_at_;
  double sign_;
  Calibration found_{};
  double slope_ = 1, root_ = 0, last_y_ = 1, last_gap_ = kWidestGap, previous_u_ = 0, previous_y_ = 0;
  double reach_ = 0;  // the widest bracket around the target that was wider than asked: what the accountant can do
  bool has_previous_ = false, known_ = false;
  int narrowing_ = 0, undecided_ = 0, one_sided_ = 0;
  double last_width_ = 0;
};

}  // namespace

Calibration search(const Parameter& parameter, double guess, double target_epsilon,
                   const std::function<Bracket(double value, double relative_gap)>& bracket_at) {
  return Search(parameter, target_epsilon, bracket_at).from(guess);
}

}  // namespace sotto::accountants

#pragma once
#include <cmath>
#include <compare>
#include <limits>

namespace sotto::accountants {

// An amount of privacy in fixed point: multiples of 2^-80 up to 2^40, and "unbounded" above. Sums and differences are
// exact, so a running total depends neither on the order of its parts nor on how many there were; the one rounding
// happens where a double is read, and says which way.
class Spend {
 public:
  Spend() = default;

  // The least multiple not below x ≥ 0: for what a mechanism costs.
  static Spend at_least(double x) { return Spend(std::ceil(scaled(x)), x); }
  // The largest multiple not above x ≥ 0: for a budget.
  static Spend at_most(double x) { return Spend(std::floor(scaled(x)), x); }

  bool unbounded() const { return units_ == kUnbounded; }

  // The total with one part replaced by another, `old_part` being at most the total. Unbounded for ever once it is.
  Spend with(Spend old_part, Spend new_part) const {
    Spend sum;
    if (unbounded() || new_part.unbounded())
      sum.units_ = kUnbounded;
    else
      sum.units_ = units_ - old_part.units_ + new_part.units_;
    if (sum.units_ > kUnbounded) sum.units_ = kUnbounded;
    return sum;
  }

  // A double not below the amount.
  double rounded_up() const {
    if (unbounded()) return std::numeric_limits<double>::infinity();
    const double near = static_cast<double>(units_);  // below 2^121, to nearest
    const bool below = static_cast<Units>(near) < units_;
    return std::ldexp(below ? std::nextafter(near, std::numeric_limits<double>::infinity()) : near, -kFraction);
  }

  auto operator<=>(const Spend&) const = default;

 private:
  using Units = unsigned __int128;
  static constexpr int kFraction = 80;
  static constexpr Units kUnbounded = Units{1} << (kFraction + 40);
  static double scaled(double x) { return std::ldexp(x, kFraction); }
  Spend(double whole, double x) : units_(x < 0x1p40 ? static_cast<Units>(whole) : kUnbounded) {}

  Units units_ = 0;
};

}  // namespace sotto::accountants

#pragma once
#include <arb.h>
#include <arb_hypgeom.h>

namespace sotto::accountants {

// A real number known to lie in an interval, by Arb's arithmetic of balls: what is computed from balls encloses the
// true result. From a double it is that number exactly.
class Ball {
 public:
  static constexpr slong kBits = 320;

  Ball() { arb_init(x_); }
  Ball(double value) : Ball() { arb_set_d(x_, value); }  // implicit: 1 − q
  Ball(const Ball& other) : Ball() { arb_set(x_, other.x_); }
  Ball& operator=(const Ball& other) {
    arb_set(x_, other.x_);
    return *this;
  }
  ~Ball() { arb_clear(x_); }

  arb_ptr get() { return x_; }
  arb_srcptr get() const { return x_; }

  // Of every point of the ball.
  bool at_least(double bound) const { return compare(arb_get_lbound_arf, bound) >= 0; }
  bool at_most(double bound) const { return compare(arb_get_ubound_arf, bound) <= 0; }
  double middle() const { return arf_get_d(arb_midref(x_), ARF_RND_NEAR); }
  slong good_bits() const { return arb_rel_accuracy_bits(x_); }

  friend Ball operator+(const Ball& a, const Ball& b) { return made(arb_add, a, b); }
  friend Ball operator-(const Ball& a, const Ball& b) { return made(arb_sub, a, b); }
  friend Ball operator*(const Ball& a, const Ball& b) { return made(arb_mul, a, b); }
  friend Ball operator/(const Ball& a, const Ball& b) { return made(arb_div, a, b); }
  friend Ball operator-(const Ball& a) { return Ball(0) - a; }
  Ball& operator+=(const Ball& other) { return *this = *this + other; }
  Ball& operator*=(const Ball& other) { return *this = *this * other; }

  friend Ball exp(const Ball& x) { return made(arb_exp, x); }
  friend Ball expm1(const Ball& x) { return made(arb_expm1, x); }
  friend Ball log(const Ball& x) { return made(arb_log, x); }
  friend Ball log1p(const Ball& x) { return made(arb_log1p, x); }
  friend Ball sqrt(const Ball& x) { return made(arb_sqrt, x); }
  friend Ball erfc(const Ball& x) { return made(arb_hypgeom_erfc, x); }
  friend Ball larger(const Ball& a, const Ball& b) { return made(arb_max, a, b); }
  friend Ball smaller(const Ball& a, const Ball& b) { return made(arb_min, a, b); }

  // From 0 to `bound`: a remainder of which no more is known.
  static Ball up_to(const Ball& bound) {
    Ball zero, found;
    arb_union(found.x_, zero.x_, bound.x_, kBits);
    return found;
  }

 private:
  template <class Function, class... Operands>
  static Ball made(Function function, const Operands&... operands) {
    Ball found;
    function(found.x_, operands.x_..., kBits);
    return found;
  }
  template <class End>
  int compare(End end_of, double bound) const {
    arf_t end;
    arf_init(end);
    end_of(end, x_, kBits);
    const int order = arf_cmp_d(end, bound);
    arf_clear(end);
    return order;
  }

  arb_t x_;
};

}  // namespace sotto::accountants

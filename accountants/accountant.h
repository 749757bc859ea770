#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "accountants/bracket.h"
#include "accountants/event.h"

namespace sotto::accountants {

// Adds up what a sequence of mechanisms can leak. Every epsilon and delta is an upper bound on the truth, rounded up:
// never NaN, never negative, +infinity only when the accountant has no finite bound. Nothing composed costs exactly 0.
//
// The bound holds for a schedule that was fixed in advance. To stop after looking at results, use a filter (the
// ledger's cap).
class Accountant {
 public:
  virtual ~Accountant() = default;
  virtual std::string_view name() const = 0;
  // Of one of the parts that events consist of (event/parts.h): compositions and NonPrivate are every accountant's.
  virtual bool supports(const Event& event, NeighbouringRelation relation) const = 0;
  virtual std::unique_ptr<Accountant> clone() const = 0;

  // Whether compose() takes the event.
  bool supports(const Event& event) const;

  NeighbouringRelation relation() const { return relation_; }

  // Adds `count` uses of the event. Throws configuration when the event is invalid or not supported under this relation
  // (an unsupported mechanism is never approximated), invalid_argument unless 0 ≤ count ≤ 2^53.
  void compose(const Event& event, int64_t count = 1);

  // lower ≤ the smallest ε at which the composition is (ε, delta)-DP ≤ upper, as far as this accountant knows: one
  // without lower bounds says 0. Throws invalid_argument unless 0 ≤ delta < 1.
  Bracket epsilon_bracket(double delta) const;
  // Likewise the smallest δ with (epsilon, δ)-DP, at most 1; throws invalid_argument unless epsilon ≥ 0.
  Bracket delta_bracket(double epsilon) const;

  // The upper ends.
  double epsilon(double delta) const { return epsilon_bracket(delta).upper; }
  double delta(double epsilon) const { return delta_bracket(epsilon).upper; }

 protected:
  explicit Accountant(NeighbouringRelation relation) : relation_(relation) {}
  Accountant(const Accountant&) = default;

 private:
  virtual void add(const Event& event, int64_t count) = 0;
  virtual Bracket epsilon_at(double delta) const = 0;
  virtual Bracket delta_at(double epsilon) const = 0;

  NeighbouringRelation relation_;
  bool non_private_ = false;
};

// Those that may limit a run while it goes on.
std::vector<std::string> accountant_names();

// Throws configuration, listing the known names, for any other.
std::unique_ptr<Accountant> make_accountant(std::string_view name, NeighbouringRelation relation);

// Those for questions about a schedule that is fixed in advance: the former, "tcdp" and "pld", whose brackets aim at this
// relative gap, the others' at none.
std::vector<std::string> fixed_schedule_accountant_names();
bool aims_at_a_gap(std::string_view name);
std::unique_ptr<Accountant> make_fixed_schedule_accountant(std::string_view name, NeighbouringRelation relation,
                                                           double relative_gap = 1e-3);

}  // namespace sotto::accountants

#pragma once
#include <memory>

#include "accountants/accountant.h"
#include "accountants/spend_tally.h"

namespace sotto::accountants {

// Approximate zero-concentrated differential privacy: one ρ and one δ for all orders. Looser than RDP wherever that has
// a curve, and all that is needed where ρ is what was promised, as for the discrete Gaussian. No lower bounds.
class ZcdpAccountant final : public Accountant {
 public:
  explicit ZcdpAccountant(NeighbouringRelation relation) : Accountant(relation), tally_(Currency::zcdp, relation) {}
  std::string_view name() const override { return "zcdp"; }
  bool supports(const Event& event, NeighbouringRelation relation) const override {
    return SpendTally::takes(Currency::zcdp, event, relation);
  }
  std::unique_ptr<Accountant> clone() const override { return std::make_unique<ZcdpAccountant>(*this); }

 private:
  void add(const Event& event, int64_t count) override;
  Bracket epsilon_at(double delta) const override;
  Bracket delta_at(double epsilon) const override;

  SpendTally tally_;
};

}  // namespace sotto::accountants

#pragma once
#include <memory>

#include "accountants/accountant.h"
#include "accountants/spend_tally.h"

namespace sotto::accountants {

// Gaussian differential privacy: compositions of plain Gaussians and of nothing else, where it is exact. Brackets are
// 1e-9 wide, from rounding alone.
class GdpAccountant final : public Accountant {
 public:
  explicit GdpAccountant(NeighbouringRelation relation) : Accountant(relation), tally_(Currency::gdp, relation) {}
  std::string_view name() const override { return "gdp"; }
  bool supports(const Event& event, NeighbouringRelation relation) const override {
    return SpendTally::takes(Currency::gdp, event, relation);
  }
  std::unique_ptr<Accountant> clone() const override { return std::make_unique<GdpAccountant>(*this); }

  // μ of all that was composed.
  Bracket mu() const;

 private:
  void add(const Event& event, int64_t count) override;
  Bracket epsilon_at(double delta) const override;
  Bracket delta_at(double epsilon) const override;

  SpendTally tally_;
};

}  // namespace sotto::accountants

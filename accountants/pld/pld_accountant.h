#pragma once
#include <string>
#include <vector>

#include "accountants/accountant.h"
#include "accountants/pld/solve.h"

namespace sotto::accountants {

// The privacy loss distribution itself: every answer is a bracket, certified from above and below, each end carrying
// its own discretisation, truncation and rounding. Gaussians without sampling take the closed form. What it knows is
// listed at loss_law (event_law.h).
//
// For a schedule that was fixed in advance only. To compose step by step and stop when this ε meets a budget is not
// differentially private where a step's parameters depend on what came before (arXiv 2602.06756); runs that may adapt
// are limited by the ledger's filter, which this type cannot be.
class PldAccountant final : public Accountant {
 public:
  explicit PldAccountant(NeighbouringRelation relation, PldLimits limits = {})
      : Accountant(relation), limits_(limits) {}
  std::string_view name() const override { return "pld"; }
  bool supports(const Event& event, NeighbouringRelation relation) const override;
  std::unique_ptr<Accountant> clone() const override { return std::make_unique<PldAccountant>(*this); }

 private:
  struct Part {
    std::string key;  // the event's JSON
    Event event;
    std::shared_ptr<const LossLaw> law;
    double gaussian_noise;  // of a Gaussian without sampling: σ ÷ what neighbours differ by, else 0
    int64_t count;
    int64_t times;  // uses of the law that one of the event is
  };
  void add(const Event& event, int64_t count) override;
  // Where no bracket as narrow as limits asks is in reach, the RDP accountant's bound is used if it is less.
  Bracket epsilon_at(double delta) const override;
  Bracket delta_at(double epsilon) const override;
  bool unbounded() const;
  double gaussian_precision() const;  // Σ n/σ²: all Gaussians without sampling are one
  bool gaussian_alone() const;
  std::vector<LawUses> uses() const;
  double certain_disclosure() const;        // an upper bound on δ at every ε however large
  std::unique_ptr<Accountant> rdp() const;  // null where RDP knows not every part

  std::vector<Part> parts_;  // by key, so that the order of composition cannot matter
  PldLimits limits_;
};

}  // namespace sotto::accountants

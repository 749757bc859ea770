#pragma once
#include <vector>

#include "accountants/accountant.h"
#include "accountants/pld/solve.h"

namespace sotto::accountants {

// The privacy loss distribution itself: every answer is a bracket, certified from above and below, each end carrying
// its own discretisation, truncation and rounding. Gaussians without sampling take the closed form.
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
    double noise_multiplier, sample_rate;
    int64_t count;
  };
  void add(const Event& event, int64_t count) override;
  // Where no bracket as narrow as limits asks is in reach, the RDP accountant's bound is used if it is less.
  Bracket epsilon_at(double delta) const override;
  Bracket delta_at(double epsilon) const override;
  bool unbounded() const;
  std::vector<SampledGaussianUses> uses() const;
  std::unique_ptr<Accountant> rdp() const;

  std::vector<Part> parts_;  // by rate and noise, so that the order of composition cannot matter
  PldLimits limits_;
};

}  // namespace sotto::accountants

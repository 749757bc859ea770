#pragma once
#include <memory>
#include <vector>

#include "accountants/accountant.h"
#include "accountants/event/parts.h"

namespace sotto::accountants {

// Truncated concentrated differential privacy (Bun, Dwork, Rothblum, Steinke 2018): D_α ≤ ρ α for 1 < α ≤ ω, which
// sampled Gaussians have too, up to where their divergence jumps. One ρ for each of a few ω, and the best of them in
// the end. What zCDP is to Gaussians this is to sampled ones; RDP, which keeps the whole curve, is never looser.
class TcdpAccountant final : public Accountant {
 public:
  explicit TcdpAccountant(NeighbouringRelation relation);
  std::string_view name() const override { return "tcdp"; }
  bool supports(const Event& event, NeighbouringRelation relation) const override;
  std::unique_ptr<Accountant> clone() const override { return std::make_unique<TcdpAccountant>(*this); }

  // ω by powers of two from 2 to 1024.
  static const std::vector<double>& truncations();

 private:
  void add(const Event& event, int64_t count) override;
  Bracket epsilon_at(double delta) const override;
  Bracket delta_at(double epsilon) const override;
  std::vector<double> rho() const;

  struct Part {
    Event event;
    int64_t count;
    std::vector<double> rho;  // of one use, by truncations()
  };
  std::vector<Part> parts_;
};

// The least ρ known with R(α) ≤ ρ α for 1 < α ≤ each of truncations(): R grows with α, so between two orders of a grid
// 3 % apart it is at most the larger's.
std::vector<double> tcdp_rho(const Event& event, NeighbouringRelation relation);

}  // namespace sotto::accountants

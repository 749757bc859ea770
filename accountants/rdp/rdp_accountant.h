#pragma once
#include <memory>
#include <vector>

#include "accountants/accountant.h"
#include "accountants/rdp/curve.h"

namespace sotto::accountants {

// Rényi differential privacy on the grid of default_orders(). Equal events are merged, so a step that repeats an event
// costs microseconds and composing one event a million times rounds no worse than once.
class RdpAccountant final : public Accountant {
 public:
  explicit RdpAccountant(NeighbouringRelation relation) : Accountant(relation) {}
  std::string_view name() const override { return "rdp"; }
  bool supports(const Event& event, NeighbouringRelation relation) const override {
    return has_rdp_curve(event, relation);
  }
  // The table an order: R(α) of all that was composed at default_orders(), rounded up.
  RdpCurve table() const;
  std::unique_ptr<Accountant> clone() const override { return std::make_unique<RdpAccountant>(*this); }

 private:
  struct Part {
    Event event;
    int64_t count;
    std::shared_ptr<const DefaultRdpCurve> curve;
  };
  void add(const Event& event, int64_t count) override;
  Bracket epsilon_at(double delta) const override;
  Bracket delta_at(double epsilon) const override;
  double total(size_t index) const;

  std::vector<Part> parts_;
};

}  // namespace sotto::accountants

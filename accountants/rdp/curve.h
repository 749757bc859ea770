#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "accountants/event.h"

namespace sotto::accountants {

using RdpCurve = std::vector<double>;

// True where rdp_curve has a bound for one of event/parts.h:
//
//   Gaussian, discrete Gaussian, Laplace, discrete Laplace, Skellam: closed forms, at twice the sensitivity under
//   replace_one (closed_forms.h); whatever has a pure ε (pure_dp.h); randomised response under replace_one
//   Poisson-sampled Gaussians, continuous and discrete (sampled_gaussian.h); any of the former Poisson-sampled under
//   add_remove (poisson_sampled.h). Under zero_out, noisy sums only: there a contribution of zero and none are the same
//   any of the former on batches of fixed size without replacement, under replace_one (fixed_size_sampled.h)
bool has_rdp_curve(const Event& event, NeighbouringRelation relation);

// An upper bound on the event's Rényi divergence at each of the increasing `orders`. Above order 2, values whose
// RDP has passed 700 are +infinity, which only means "not used": no such order can be the best one for a sensible ε.
RdpCurve rdp_curve(const Event& event, NeighbouringRelation relation, const std::vector<double>& orders);

// The same at default_orders(), each value computed when it is first asked for: the best order of a sampled Gaussian is
// found with a dozen of some 280. Safe to call from several threads.
class DefaultRdpCurve {
 public:
  DefaultRdpCurve(const Event& event, NeighbouringRelation relation);
  double at(size_t index) const;

 private:
  Event event_;
  NeighbouringRelation relation_;
  mutable std::vector<std::atomic<double>> values_;  // NaN: not yet known
};

// Remembered between calls.
std::shared_ptr<const DefaultRdpCurve> default_rdp_curve(const Event& event, NeighbouringRelation relation);

}  // namespace sotto::accountants

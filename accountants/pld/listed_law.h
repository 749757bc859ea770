#pragma once
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "accountants/pld/cell_law.h"

namespace sotto::accountants {

// Masses of outcomes by their loss, in bins from −most to most that no outcome reaches over.
class LossBins {
 public:
  explicit LossBins(double most);
  void add(double p, double q, double loss) {
    const double place = (loss + most_) / width_;
    if (!(place >= 0 && place < static_cast<double>(p_.size()))) return add_far(p, q);
    const auto bin = static_cast<size_t>(place);
    p_[bin] += p;
    q_[bin] += q;
  }
  // Of any loss: lost above, not there below.
  void add_far(double p, double q) {
    far_.p += p;
    far_.q += q;
  }
  LossCells merged() const;  // as they are, each bin one outcome: below
  LossCells split() const;   // each bin's at the two ends of it: above

 private:
  std::vector<double> p_, q_;
  LossCells::Tail far_;
  double width_, most_;
};

// A law whose outcomes are listed, for above and below, when they are first asked for: that may take a second. No loss
// is above `most`.
class ListedLaw final : public CellLaw {
 public:
  using List = std::function<LossCells()>;
  ListedLaw(double most, List above, List below)
      : most_(most), list_above_(std::move(above)), list_below_(std::move(below)) {}

  double most_loss(Direction) const override { return most_ * (1 + 1e-12); }
  double at_infinity() const override { return listed().first.p_at_infinity; }
  LossCells cells(double, double) const override { return listed().first; }
  std::optional<LossCells> cells_below(double, double) const override { return listed().second; }
  double anchor() const override { return 0; }
  std::pair<double, double> range(double) const override;

 private:
  const std::pair<LossCells, LossCells>& listed() const {
    std::call_once(once_, [&] { listed_ = {list_above_(), list_below_()}; });
    return listed_;
  }

  double most_;
  List list_above_, list_below_;
  mutable std::once_flag once_;
  mutable std::pair<LossCells, LossCells> listed_;
};

// Outcomes of which nothing is known from below.
inline LossCells nothing_told() {
  return {.p = {1}, .q = {1}, .loss = {0}};
}

}  // namespace sotto::accountants

#include "accountants/event/parts.h"

#include <bit>
#include <cmath>

#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr int64_t kMostUses = int64_t{1} << 53;

int64_t times(int64_t a, int64_t b) {
  if (b != 0 && a > kMostUses / b)
    throw Error(ErrorKind::configuration, cat("more than 2^53 uses of one event: ", a, " times ", b));
  return a * b;
}

class Parts {
 public:
  Parts(NeighbouringRelation relation, std::vector<EventUses>& found) : relation_(relation), found_(found) {}

  void add(const Event& event, int64_t count) const {
    if (count == 0) return;
    std::visit([&](const auto& mechanism) { take(mechanism, event, count); }, event.mechanism);
  }

 private:
  template <class Mechanism>
  void take(const Mechanism&, const Event& event, int64_t count) const {
    found_.push_back({event, count});
  }
  void take(const SelfComposed& e, const Event&, int64_t count) const { add(*e.event, times(count, e.count)); }
  void take(const Composed& e, const Event&, int64_t count) const {
    for (const Nested& each : e.events) add(*each, count);
  }
  void take(const PostProcessing&, const Event&, int64_t) const {}
  void take(const PoissonSampled& e, const Event& event, int64_t count) const {
    if (e.sample_rate == 1) return add(*e.event, count);
    if (e.sample_rate > 0) found_.push_back({event, count});
  }
  void take(const TreeAggregation& e, const Event& event, int64_t count) const {
    if (relation_ == NeighbouringRelation::add_remove) {
      found_.push_back({event, count});
      return;
    }
    const auto depth = static_cast<double>(std::bit_width(static_cast<uint64_t>(e.steps)));
    found_.push_back(
        {{Gaussian{std::nextafter(std::nextafter(e.noise_multiplier / std::sqrt(depth), 0.0), 0.0)}}, count});
  }
  void take(const BandedMatrixFactorisation& e, const Event&, int64_t count) const {
    const double rate = std::min(1.0, std::nextafter(e.sample_rate * static_cast<double>(e.bands), 1.0));
    add({PoissonSampledGaussian{e.noise_multiplier, e.sample_rate > 0 ? rate : 0}},
        times(count, (e.steps - 1) / e.bands + 1));
  }

  NeighbouringRelation relation_;
  std::vector<EventUses>& found_;
};

}  // namespace

std::vector<EventUses> parts_of(const Event& event, int64_t count, NeighbouringRelation relation) {
  std::vector<EventUses> found;
  Parts(relation, found).add(event, count);
  return found;
}

}  // namespace sotto::accountants

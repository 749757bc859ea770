#include "accountants/spend_tally.h"

#include <algorithm>
#include <bit>
#include <type_traits>

#include "accountants/gdp/mu.h"
#include "accountants/rdp/curve.h"
#include "accountants/zcdp/rho.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr size_t kMostKnown = 4096;
constexpr int64_t kMostUses = int64_t{1} << 53;

size_t mix(size_t hash, double number) {
  hash ^= std::bit_cast<uint64_t>(number) + 0x9e3779b97f4a7c15 + (hash << 6) + (hash >> 2);
  return hash * 0xff51afd7ed558ccd;
}

size_t line_count(Currency currency, size_t orders) {
  switch (currency) {
    case Currency::rdp:
      return orders;
    case Currency::zcdp:
      return 2;
    case Currency::gdp:
      return 1;
  }
  throw Error(ErrorKind::internal, cat("no currency has the number ", static_cast<int>(currency)));
}

const char* what_is_taken(Currency currency) {
  switch (currency) {
    case Currency::rdp:
      return "an RDP budget takes what the accountant rdp supports";
    case Currency::zcdp:
      return "a zCDP budget takes mechanisms with a rho for all orders, such as Gaussians without sampling; use an RDP "
             "budget";
    case Currency::gdp:
      return "a GDP budget takes plain Gaussians only (adaptive composition of other trade-off curves is not valid); "
             "use an RDP or zCDP budget";
  }
  return "";
}

}  // namespace

SpendTally::SpendTally(Currency currency, NeighbouringRelation relation, std::vector<double> orders)
    : currency_(currency), relation_(relation), orders_(std::move(orders)) {
  lines_.resize(line_count(currency_, orders_.size()));
  new_lines_ = new_terms_ = lines_;
}

SpendTally& SpendTally::operator=(const SpendTally& other) {
  currency_ = other.currency_;
  relation_ = other.relation_;
  orders_ = other.orders_;
  lines_ = new_lines_ = new_terms_ = other.lines_;
  known_ = other.known_;
  last_ = nullptr;
  return *this;
}

// Events of training steps by their numbers; whatever else there is by its text.
size_t SpendTally::Hash::operator()(const Event& event) const {
  return std::visit(
      [&](const auto& mechanism) {
        using Mechanism = std::decay_t<decltype(mechanism)>;
        const size_t kind = event.mechanism.index();
        if constexpr (std::is_same_v<Mechanism, Gaussian>)
          return mix(kind, mechanism.noise_multiplier);
        else if constexpr (std::is_same_v<Mechanism, PoissonSampledGaussian> ||
                           std::is_same_v<Mechanism, PoissonSampledDiscreteGaussian> ||
                           std::is_same_v<Mechanism, PoissonSampledLatticeGaussian>)
          return mix(mix(kind, mechanism.noise_multiplier), mechanism.sample_rate);
        else
          return std::hash<std::string>{}(to_json(event));
      },
      event.mechanism);
}

bool SpendTally::takes(Currency currency, const Event& part, NeighbouringRelation relation) {
  if (std::holds_alternative<NonPrivate>(part.mechanism)) return true;
  switch (currency) {
    case Currency::rdp:
      return has_rdp_curve(part, relation);
    case Currency::zcdp:
      return zcdp_cost(part, relation).has_value();
    case Currency::gdp:
      return mu_squared(part, relation).has_value();
  }
  return false;
}

bool SpendTally::supports(const Event& event) const {
  validate(event);
  const auto parts = parts_of(event, 1, relation_);
  return std::all_of(parts.begin(), parts.end(),
                     [&](const EventUses& part) { return takes(currency_, part.event, relation_); });
}

void SpendTally::append_costs(const EventUses& part, std::vector<UnitCost>& costs) const {
  const size_t first = costs.size();
  if (std::holds_alternative<NonPrivate>(part.event.mechanism)) {
    costs.resize(first + lines_.size(), UnitCost{1, 0});
  } else if (currency_ == Currency::gdp) {
    if (const auto cost = mu_squared(part.event, relation_)) costs.push_back(*cost);
  } else if (currency_ == Currency::zcdp) {
    if (const auto cost = zcdp_cost(part.event, relation_)) costs.insert(costs.end(), {cost->rho, cost->delta});
  } else if (has_rdp_curve(part.event, relation_)) {
    for (const double each : rdp_curve(part.event, relation_, orders_)) costs.push_back({each, 1});
  }
  if (costs.size() == first)
    throw Error(ErrorKind::configuration, cat("no cost in this budget for ", to_json(part.event), " under ",
                                              to_string(relation_), ": ", what_is_taken(currency_)));
  for (size_t i = first; i < costs.size(); ++i)
    costs[i].numerator = times_up(static_cast<double>(part.count), costs[i].numerator);
}

// Of more distinct events than are remembered the old ones stay in the lines, and would be rounded anew.
SpendTally::Entry& SpendTally::known(const Event& event) {
  if (last_ != nullptr && last_->first == event) return *last_;
  if (const auto found = known_.find(event); found != known_.end()) return *found;
  validate(event);
  Known fresh;
  fresh.terms.resize(lines_.size());
  for (const EventUses& part : parts_of(event, 1, relation_)) append_costs(part, fresh.costs);
  if (known_.size() >= kMostKnown) {
    last_ = nullptr;
    known_.clear();
  }
  return *known_.emplace(event, std::move(fresh)).first;
}

const std::vector<Spend>& SpendTally::preview(const Event& event, int64_t count) {
  require(count >= 0 && count <= kMostUses, "count must be between 0 and 2^53, got ", count);
  last_ = &known(event);
  Known& part = last_->second;
  if (count > kMostUses - part.count) {
    part.count = 0;
    part.terms.assign(lines_.size(), Spend());
  }
  new_count_ = part.count + count;
  for (size_t i = 0; i < lines_.size(); ++i) {
    new_terms_[i] = Spend();
    for (size_t j = i; j < part.costs.size(); j += lines_.size())
      new_terms_[i] = new_terms_[i].with(Spend(), Spend::at_least(part.costs[j].of(new_count_)));
    new_lines_[i] = lines_[i].with(part.terms[i], new_terms_[i]);
  }
  return new_lines_;
}

void SpendTally::commit() {
  require(last_ != nullptr, "nothing was previewed");
  last_->second.count = new_count_;
  last_->second.terms.swap(new_terms_);
  lines_.swap(new_lines_);
}

}  // namespace sotto::accountants

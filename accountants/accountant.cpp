#include "accountants/accountant.h"

#include <algorithm>
#include <limits>

#include "accountants/event/parts.h"
#include "accountants/gdp/gdp_accountant.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/rdp/rdp_accountant.h"
#include "accountants/zcdp/tcdp_accountant.h"
#include "accountants/zcdp/zcdp_accountant.h"
#include "base/error.h"

namespace sotto::accountants {

bool Accountant::supports(const Event& event) const {
  validate(event);
  const auto parts = parts_of(event, 1, relation_);
  return std::all_of(parts.begin(), parts.end(), [&](const EventUses& part) {
    return std::holds_alternative<NonPrivate>(part.event.mechanism) || supports(part.event, relation_);
  });
}

void Accountant::compose(const Event& event, int64_t count) {
  validate(event);
  require(count >= 0 && count <= int64_t{1} << 53, "count must be between 0 and 2^53, got ", count);
  const auto parts = parts_of(event, count, relation_);
  for (const EventUses& part : parts)
    if (!std::holds_alternative<NonPrivate>(part.event.mechanism) && !supports(part.event, relation_))
      throw Error(ErrorKind::configuration,
                  cat("the accountant ", name(), " has no bound for ", to_json(part.event), " under ",
                      to_string(relation_), "; choose another relation or accountant"));
  for (const EventUses& part : parts) {
    if (std::holds_alternative<NonPrivate>(part.event.mechanism))
      non_private_ = true;
    else
      add(part.event, part.count);
  }
}

Bracket Accountant::epsilon_bracket(double delta) const {
  require(delta >= 0 && delta < 1, "delta must be at least 0 and below 1, got ", delta);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return non_private_ ? Bracket{kInfinity, kInfinity} : epsilon_at(delta);
}

Bracket Accountant::delta_bracket(double epsilon) const {
  require(epsilon >= 0, "epsilon must be at least 0, got ", epsilon);
  return non_private_ ? Bracket{1, 1} : delta_at(epsilon);
}

std::vector<std::string> accountant_names() {
  return {"rdp", "zcdp", "gdp"};
}

std::vector<std::string> fixed_schedule_accountant_names() {
  auto names = accountant_names();
  names.insert(names.end(), {"tcdp", "pld"});
  return names;
}

bool aims_at_a_gap(std::string_view name) {
  return name == "pld";
}

namespace {

std::unique_ptr<Accountant> make_adaptive(std::string_view name, NeighbouringRelation relation) {
  if (name == "rdp") return std::make_unique<RdpAccountant>(relation);
  if (name == "zcdp") return std::make_unique<ZcdpAccountant>(relation);
  if (name == "gdp") return std::make_unique<GdpAccountant>(relation);
  return nullptr;
}

[[noreturn]] void refuse(std::string_view name, const std::vector<std::string>& names) {
  if (name == "gdp_clt")
    throw Error(ErrorKind::configuration,
                "\"gdp_clt\", the central limit theorem's mu, is an estimate and no bound: it can report less than is "
                "leaked, so no accountant is made of it; use \"rdp\" or \"pld\"");
  std::string known;
  for (const auto& each : names) known += (known.empty() ? "" : ", ") + each;
  throw Error(ErrorKind::configuration, cat("unknown accountant \"", name, "\"; known: ", known));
}

}  // namespace

std::unique_ptr<Accountant> make_accountant(std::string_view name, NeighbouringRelation relation) {
  if (auto made = make_adaptive(name, relation)) return made;
  if (name == "tcdp")
    throw Error(ErrorKind::configuration,
                "the accountant \"tcdp\" is for questions: \"rdp\" is never looser and limits runs");
  if (name == "pld")
    throw Error(ErrorKind::configuration,
                "the accountant \"pld\" is valid for a schedule fixed in advance only and limits nothing that is added "
                "up step by "
                "step; use \"rdp\", or a RunAllotment");
  refuse(name, accountant_names());
}

std::unique_ptr<Accountant> make_fixed_schedule_accountant(std::string_view name, NeighbouringRelation relation,
                                                           double relative_gap) {
  require(relative_gap > 0 && relative_gap < 1, "the relative gap must be between 0 and 1, got ", relative_gap);
  if (auto made = make_adaptive(name, relation)) return made;
  if (name == "tcdp") return std::make_unique<TcdpAccountant>(relation);
  if (name == "pld") return std::make_unique<PldAccountant>(relation, PldLimits{.relative_gap = relative_gap});
  refuse(name, fixed_schedule_accountant_names());
}

}  // namespace sotto::accountants

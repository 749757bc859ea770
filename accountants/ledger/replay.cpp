#include "accountants/ledger/replay.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "accountants/ledger/append.h"
#include "accountants/ledger/calendar.h"
#include "accountants/ledger/payload.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

constexpr size_t kMostFindings = 100;
// Another build's exp and log may round a receipt's epsilon differently.
constexpr double kEpsilonTolerance = 1e-9;
constexpr const char* kWrongColumns = "is stored under a kind, run or steps that its payload does not have";

}  // namespace

std::string Replay::cat_row(int64_t id, const std::string& what) {
  return cat("row ", id, " ", what);
}

void Replay::note(const std::string& what) {
  report_.ok = false;
  if (report_.findings.size() < kMostFindings) report_.findings.push_back(what);
}

bool ClaimedSignature::holds() const {
  return signature_holds(public_key, signed_text(head), value);
}

void Replay::row(const Line& line) {
  const int64_t id = line.id;
  if (id != report_.head.id + 1) note(id, cat("follows row ", report_.head.id, ": rows are missing or out of order"));
  if (!line.hash_holds) note(id, "does not match its hash");
  try {
    line.plain_charge ? plain_charge(line) : other(line);
  } catch (const Error& error) {
    note(id, error.what());
  }
  report_.head.id = id;
  report_.head.hash = line.hash;
}

void Replay::plain_charge(const Line& line) {
  const int64_t id = line.id;
  if (line.said_id != id) note(id, cat("says that it is row ", line.said_id));
  if (line.previous != report_.head.hash) note(id, "does not continue the row before");
  if (!line.columns_hold) note(id, kWrongColumns);
  check_time(id, line.at);
  if (Run* run = find(id, line.run_id)) charge(line, *run);
  check_signature(line, line.by);
}

void Replay::other(const Line& line) {
  const int64_t id = line.id;
  const json payload = json::parse(line.payload, nullptr, false);
  if (!payload.is_object() || payload.dump() != line.payload) return note(id, "is not canonical JSON");
  if (const json said = payload.value("id", json()); said != id) note(id, cat("says that it is row ", said.dump()));
  if (payload.value("previous", json()) != report_.head.hash) note(id, "does not continue the row before");
  index(line, payload);
  const std::string by = optional_text(payload, "by");
  check_time(id, text_field(payload, "at"));
  meaning(id, payload);
  check_signature(line, by);
}

void Replay::add_charge(const Line& line, IndexCheck::Sums& sums) const {
  indexes_.add(sums, line.id, "charge", line.run_id, line.first_step, line.last_step, line.columns.has_value());
}

void Replay::add(const IndexCheck::Sums& sums) {
  sums_ += sums;
}

// As the generated columns of the table say it.
void Replay::index(const Line& line, const json& payload) {
  const auto text = [&](const char* key) {
    return payload.contains(key) && payload[key].is_string() ? payload[key].get<std::string>() : "";
  };
  const auto step = [&](const char* key) {
    return payload.contains(key) && payload[key].is_number_integer() ? payload[key].get<int64_t>() : 0;
  };
  const std::string kind = text("kind"), run_id = text("run_id");
  const LedgerReader::Columns said{kind, run_id, step("first_step"), step("last_step")};
  if (line.columns && *line.columns != said) note(line.id, kWrongColumns);
  indexes_.add(sums_, line.id, kind, run_id, said.first_step, said.last_step, line.columns.has_value());
}

void Replay::end(LedgerReader& ledger) {
  if (report_.head.id == 0) note("there are no rows");
  if (unsigned_since_)
    note(cat("rows ", unsigned_since_, " to ", report_.head.id, " of the key ", unsigned_by_, " are not signed"));
  if (const std::string name = indexes_.difference(ledger, sums_); !name.empty())
    note(cat("the index ", name, " does not say what the rows say"));
}

void Replay::check_time(int64_t id, std::string_view at) {
  if (at == at_) return;
  const int64_t seconds = utc_seconds(at);
  if (time_is_ordered_ && seconds < now_) note(id, cat("is of ", at, ", before the row before it"));
  at_ = at;
  now_ = seconds;
}

bool Replay::check_writer(int64_t id, std::string_view kind, std::string_view by, std::string_view run_by) {
  if (!authority_.has_owner()) {
    if (!by.empty()) note(id, "names a key, but the ledger has no owner");
    return by.empty();
  }
  try {
    authority_.check_writer(kind, by, run_by);
    return true;
  } catch (const Error& error) {
    note(id, cat("was not allowed: ", error.what()));
    return false;
  }
}

// A signature stands for all rows since the one before, which must be of the same key.
void Replay::check_signature(const Line& line, std::string_view by) {
  const int64_t id = line.id;
  if (!authority_.has_owner()) {
    if (line.signature) note(id, "has a signature, but the ledger has no owner");
    return;
  }
  if (unsigned_since_ && by != unsigned_by_) {
    note(cat("rows ", unsigned_since_, " to ", id - 1, " of the key ", unsigned_by_, " are not signed"));
    unsigned_since_ = 0;
  }
  if (!unsigned_since_) unsigned_since_ = id, unsigned_by_ = by;
  if (!line.signature) return;
  unsigned_since_ = 0;
  ++report_.signatures;
  const Member* who = authority_.member(unsigned_by_);
  signatures_.push_back(
      {{id, std::string(line.hash)}, unsigned_by_, who ? who->public_key : "", std::string(*line.signature)});
}

void Replay::meaning(int64_t id, const json& payload) {
  const std::string kind = text_field(payload, "kind");
  if ((kind == "genesis") != (id == 1)) note(id, cat("has the kind ", kind, " in the wrong place"));
  if (kind == "genesis") return genesis(id, payload);
  const std::string by = optional_text(payload, "by");
  if (kind == "charge" || kind == "release") {
    Run* run = find(id, text_field(payload, "run_id"));
    if (!run) return;
    if (kind == "release") {
      check_writer(id, kind, by, run->by);
      return release(id, payload, *run);
    }
    Line line{};
    line.id = id;
    line.by = by;
    line.first_step = int64_field(payload, "first_step"), line.last_step = int64_field(payload, "last_step");
    line.epsilon = number_field(payload, "epsilon");
    return charge(line, *run);
  }
  if (kind != "owner") check_writer(id, kind, by, "");
  if (kind == "cap") return cap(id, payload);
  if (kind == "reserve") return reserve(id, payload);
  if (kind == "owner" || kind == "member" || kind == "grant") {
    authority_row_ = id;
    authority_.apply(id, payload);
    if (kind == "owner" && by != key_id(text_field(payload, "public_key")))
      note(id, "is an owner's, but by another key");
    if (kind == "grant") grant(id);
  } else if (kind == "migrate") {
    time_is_ordered_ = true;
  } else {
    note(id, cat("has the unknown kind ", kind));
  }
}

void Replay::genesis(int64_t id, const json& payload) {
  time_is_ordered_ = int64_field(payload, "format") >= 2;
  const json orders = payload.value("filter_orders", json());
  if (!orders.is_array() || orders.empty() || !std::ranges::all_of(orders, [](const json& o) { return o.is_number(); }))
    return note(id, "has no filter_orders");
  // A second one would give runs curves of different lengths.
  if (costs_.empty()) filter_orders_ = orders.get<std::vector<double>>();
}

void Replay::cap(int64_t id, const json& payload) {
  const std::string data_set = text_field(payload, "data_set");
  const DataSetCap cap{number_field(payload, "epsilon"), number_field(payload, "delta")};
  if (!caps_.emplace(data_set, cap).second) note(id, cat("caps the data set ", data_set, " again"));
  for (const auto& [name, run] : runs_)
    if (run.entry.data_set == data_set) return note(id, cat("caps the data set ", data_set, " after its run ", name));
}

void Replay::grant(int64_t id) {
  const Grant& given = authority_.grants().back();
  const double held = claims_ ? claims_->claimed(given, now_) : 0;
  if (held > given.epsilon * (1 + kEpsilonTolerance))
    note(id, cat("grants epsilon ", given.epsilon, " where open runs hold ", held));
}

void Replay::reserve(int64_t id, const json& payload) {
  const RunEntry entry = run_entry(payload);
  validate(entry);
  const auto [cost, fresh] =
      costs_.try_emplace({to_json(entry.event), to_string(entry.relation), entry.accountant, entry.delta},
                         Cost{{}, EpsilonBySteps(entry)});
  if (!claims_) claims_.emplace(filter_orders_);
  if (fresh) cost->second.curve = rdp_curve(entry.event, entry.relation, filter_orders_);
  Run run{entry,
          scope_of(entry),
          int64_field(payload, "reserved_steps"),
          0,
          {},
          optional_text(payload, "by"),
          &cost->second.curve,
          &cost->second.epsilon,
          nullptr};
  if (run.reserved < 1 || run.reserved > entry.planned_steps) note(id, cat("reserves ", run.reserved, " steps"));
  run.allotment = allotment(id, payload, entry, run.reserved);
  people_.check(entry);
  people_.add(entry);
  if (const Member* who = authority_.member(run.by)) check_within(*who, entry);
  const Claim added{&entry, run.curve, run.reserved, 0, {}};
  if (caps_.contains(entry.data_set)) check_cap(id, added);
  if (authority_.has_owner() || !authority_.grants().empty())
    check_grants(authority_, *claims_, added, now_, kEpsilonTolerance);
  const auto [reserved, is_new] = runs_.emplace(entry.run_id, std::move(run));
  if (!is_new) return note(id, cat("reserves the run ", entry.run_id, " again"));
  claims_->add({&reserved->second.entry, reserved->second.curve, reserved->second.reserved, 0, {}});
}

// By "pld" the reservation is what the run is held to, and what it leaves out is proved too much.
const RunAllotment* Replay::allotment(int64_t id, const json& payload, const RunEntry& entry, int64_t reserved) {
  const auto refused = refused_steps(payload);
  if (entry.accountant != "pld") {
    if (refused) note(id, cat("proves ", refused->steps, " steps too many by ", entry.accountant));
    return nullptr;
  }
  if (reserved < 1 || reserved > entry.planned_steps) return nullptr;
  const auto [found, fresh] = allotments_.try_emplace(
      {to_json(entry.event), to_string(entry.relation), entry.delta, entry.epsilon_cap, entry.planned_steps, reserved},
      allotment_of(entry, reserved));
  const RunAllotment& known = found->second;
  if (fresh && known.epsilon(reserved) > entry.epsilon_cap * (1 + kEpsilonTolerance))
    note(id,
         cat("reserves ", reserved, " steps, which cost epsilon ", known.epsilon(reserved), " of ", entry.epsilon_cap));
  if (refused && !known.proves(*refused))
    note(id, cat("says that ", refused->steps, " steps cost at least epsilon ", refused->epsilon_lower,
                 ", which does not hold"));
  return &known;
}

void Replay::check_cap(int64_t id, const Claim& added) {
  const std::string& data_set = added.entry->data_set;
  const DataSetCap& limit = caps_.at(data_set);
  const double spent = claims_->claimed(data_set, limit.delta, added);
  if (spent > limit.epsilon * (1 + kEpsilonTolerance))
    note(id, cat("takes the data set ", data_set, " to epsilon ", spent, ", its cap is ", limit.epsilon));
}

Replay::Run* Replay::find(int64_t id, std::string_view run_id) {
  const auto found = runs_.find(run_id);
  if (found == runs_.end()) {
    note(id, cat("names the run ", run_id, ", which was never reserved"));
    return nullptr;
  }
  if (found->second.closed_at) note(id, cat("comes after the release of ", run_id));
  return &found->second;
}

// Who wrote it and what was granted have been looked at for an earlier charge, and nothing has changed since.
bool Replay::is_allowed(const Line& charge, const Run& run) const {
  return run.allowed_under == authority_row_ && now_ < run.allowed_until && charge.by == run.allowed_by;
}

void Replay::charge(const Line& line, Run& run) {
  const int64_t id = line.id, first = line.first_step, last = line.last_step;
  const bool is_known = is_allowed(line, run);
  const bool is_writer = is_known || check_writer(id, "charge", line.by, run.by);
  if (first != run.charged + 1 || last < first)
    note(id, cat("charges steps ", first, " to ", last, " after step ", run.charged));
  if (last > run.reserved) note(id, cat("charges step ", last, " of ", run.reserved, " reserved"));
  if (!is_known && (authority_.has_owner() || !authority_.grants().empty())) {
    const int64_t until = check_granted(authority_, run.entry.run_id, run.scope, now_);
    if (is_writer) run.allowed_by = line.by, run.allowed_until = until, run.allowed_under = authority_row_;
  }
  run.charged = std::max(run.charged, last);
  check_epsilon(id, line.epsilon, run);
}

void Replay::release(int64_t id, const json& payload, Run& run) {
  if (int64_field(payload, "charged_steps") != run.charged)
    note(id, cat("releases at a step that is not the charged ", run.charged));
  check_epsilon(id, number_field(payload, "epsilon"), run);
  if (!run.closed_at) claims_->close(run.entry.run_id, run.charged, now_);
  run.closed_at = now_;
}

void Replay::check_epsilon(int64_t id, double said, Run& run) {
  const int64_t steps = std::min(run.charged, run.entry.planned_steps);
  const double truth = run.allotment ? run.allotment->epsilon(steps) : run.epsilon->at(run.charged);
  if (run.allotment ? !run.allotment->may_be(steps, said) : std::abs(said - truth) > kEpsilonTolerance * truth)
    note(id, cat("says epsilon ", said, ", its steps cost ", truth));
  if (said > run.entry.epsilon_cap * (1 + kEpsilonTolerance))
    note(id, cat("spends more than the run's cap of ", run.entry.epsilon_cap));
}

}  // namespace sotto::accountants

#include "accountants/ledger.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <set>

#include "accountants/ledger/append.h"
#include "accountants/ledger/backend.h"
#include "accountants/ledger/calendar.h"
#include "accountants/ledger/claim_sums.h"
#include "accountants/ledger/payload.h"
#include "accountants/ledger/shared_rules.h"
#include "base/error.h"
#include "base/fault_point.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

void commit(Transaction& transaction, Appender& rows) {
  rows.sign();
  fault_point("ledger.before_commit");
  transaction.commit();
  fault_point("ledger.after_commit");
}

// The chain is as old as its last signature; `verify` checks them all.
void check_last_signature(LedgerBackend& backend, const LedgerRow& last, const Authority& authority) {
  const auto found = signature_of(backend, last);
  const Member* who = found ? authority.member(found->by) : nullptr;
  if (!who || !signature_holds(who->public_key, signed_text({last.id, last.hash}), found->value))
    throw Error(ErrorKind::data,
                cat(backend.name(), " was altered: the signature of row ", last.id,
                    found ? " does not hold" : " is missing", "; run `sotto ledger verify` and restore a backup"));
}

// The last row, once it and the one before are found to be as they were written.
LedgerRow checked_last_row(LedgerBackend& backend) {
  const auto last = backend.last_row();
  const auto before = last ? backend.row(last->id - 1) : std::nullopt;
  if (!last || (!before && last->id != 1))
    throw Error(ErrorKind::data, cat(backend.name(), " was altered: its rows are missing; restore a backup"));
  for (const LedgerRow* row : {before ? &*before : nullptr, &*last}) {
    if (!row) continue;
    const json payload = json::parse(row->payload, nullptr, false);
    const bool linked =
        payload.is_object() && (row != &*last || payload.value("previous", json()) == (before ? before->hash : ""));
    if (!linked || row_hash(row->payload) != row->hash)
      throw Error(ErrorKind::data, cat(backend.name(), " was altered: row ", row->id,
                                       " does not match its hash; run `sotto ledger verify` and restore a backup"));
  }
  return *last;
}

// {0, ""} where there is none.
Head head_in(const std::optional<LedgerRow>& last) {
  return last ? Head{last->id, last->hash} : Head{};
}

// What the run does not say about itself is what its member's key says.
void inherit(RunEntry& entry, const Scope& scope) {
  for (const auto& [path, known] : {std::pair{&entry.organisation, &scope.organisation},
                                    {&entry.purpose, &scope.purpose},
                                    {&entry.team, &scope.team},
                                    {&entry.group, &scope.group}})
    if (path->empty()) *path = *known;
}

// As the last charge's row has it: it was checked when it was written, and `verify` checks it again.
double charged_epsilon(const RunProgress& progress) {
  return progress.last_charge ? number_field(parsed(*progress.last_charge), "epsilon") : 0;
}

std::optional<int64_t> closed_at(const RunProgress& progress) {
  if (progress.released_at.empty()) return std::nullopt;
  return utc_seconds(progress.released_at);
}

}  // namespace

Ledger::Ledger(LedgerLocation location, std::unique_ptr<LedgerBackend> backend)
    : location_(std::move(location)), backend_(std::move(backend)) {}
Ledger::Ledger(Ledger&&) noexcept = default;
Ledger& Ledger::operator=(Ledger&&) noexcept = default;
Ledger::~Ledger() = default;

Ledger Ledger::open(const LedgerLocation& location) {
  create_backend(location, [](LedgerBackend& backend) {
    Appender(backend, nullptr, std::time(nullptr)).append("genesis", genesis_fields());
  });
  return open_existing(location);
}

Ledger Ledger::open_existing(const LedgerLocation& location) {
  Ledger ledger(location, open_backend(location));
  const LedgerRow last = checked_last_row(*ledger.backend_);
  if (const auto genesis = ledger.backend_->row(1))
    ledger.filter_orders_ = parsed(*genesis).value("filter_orders", std::vector<double>());
  if (ledger.filter_orders_.empty())
    throw Error(ErrorKind::data, cat(location.text(), " was altered: its first row is not its own"));
  ledger.people_ = std::make_unique<KnownPeople>();
  ledger.claims_ = std::make_unique<ClaimSums>(ledger.filter_orders_);
  if (ledger.authority().has_owner()) check_last_signature(*ledger.backend_, last, ledger.authority());
  return ledger;
}

int64_t Ledger::now() const {
  return Appender(*backend_, nullptr, clock_ ? clock_() : std::time(nullptr)).now();
}

const Authority& Ledger::authority() const {
  for (const LedgerRow& row : backend_->rows_after(LedgerBackend::Rows::authority, authority_row_)) {
    authority_.apply(row.id, parsed(row));
    authority_row_ = row.id;
  }
  return authority_;
}

const SigningKey* Ledger::writer(const std::string& kind, const std::string& run_by) {
  if (const char* file = std::getenv("SOTTO_LEDGER_KEY"); file && *file && !key_) key_ = SigningKey::read(file);
  if (!authority().has_owner() && kind != "owner") {
    if (key_)
      throw Error(ErrorKind::configuration,
                  cat(location_.text(),
                      " has no owner, so its rows are not signed; is it the right file? Give it an owner with "
                      "`sotto ledger init --owner-key`, or leave the key and SOTTO_LEDGER_KEY out"));
    return nullptr;
  }
  if (!key_)
    throw Error(ErrorKind::configuration,
                cat(location_.text(),
                    " takes signed rows only; name your key file with --key, ledger.signing_key or "
                    "SOTTO_LEDGER_KEY"));
  if (kind != "owner") authority().check_writer(kind, key_->id(), run_by);
  return &*key_;
}

Appender Ledger::appender(const std::string& kind, const std::string& run_by) {
  return Appender(*backend_, writer(kind, run_by), clock_ ? clock_() : std::time(nullptr));
}

void Ledger::declare(Appender& rows, const std::string& kind, const json& fields) {
  const LedgerRow row = rows.append(kind, fields);
  Authority after = authority_;
  try {
    after.apply(row.id, json::parse(row.payload));
  } catch (const Error& error) {
    throw Error(ErrorKind::invalid_argument, cat("not written: ", error.what()));
  }
}

void Ledger::set_owner(const std::string& name) {
  require(!name.empty(), "an owner needs a name; it is empty");
  Transaction transaction(*backend_);
  if (authority().has_owner())
    throw Error(ErrorKind::invalid_argument,
                cat(location_.text(), " has an owner; who has an owner's key can add others"));
  Appender rows = appender("owner");
  rows.append("owner", {{"name", name},
                        {"public_key", key_->public_key()},
                        // No two ledgers have the same rows, or a signature of one would hold in the other.
                        {"ledger_id", SigningKey::generate().id()}});
  commit(transaction, rows);
}

void Ledger::admit(const Member& member) {
  require(!member.name.empty(), "a member needs a name; it is empty");
  key_id(member.public_key);
  validate(member.scope);
  Transaction transaction(*backend_);
  require(authority().has_owner(), location_.text(),
          " has no owner, so nobody can be a member; run `sotto ledger init "
          "--owner-key` first");
  Appender rows = appender("member");
  declare(rows, "member", to_fields(member));
  commit(transaction, rows);
}

void Ledger::grant(Grant grant) {
  Transaction transaction(*backend_);
  Appender rows = appender("grant");
  if (grant.starts == 0) grant.starts = rows.now();
  validate(grant);
  require(!grant.expired(rows.now()), "the grant for ", to_text(grant.scope), " would have ended before now, ",
          utc_text(rows.now()));
  const double held = claims().claimed(grant, rows.now());
  if (held > grant.epsilon)
    throw Error(ErrorKind::budget_exhausted,
                cat("the runs on ", to_text(grant.scope), " already hold epsilon ", held, ", the grant is ",
                    grant.epsilon, "; release idle runs or grant more"));
  declare(rows, "grant", to_fields(grant));
  commit(transaction, rows);
}

std::vector<Budget> Ledger::budgets() const {
  const int64_t at = now();
  const ClaimSums& runs = claims();
  ClaimSums charged(filter_orders_);
  const std::vector<RunProgress> progress = progress_of(in_order_);
  for (Claim run : runs.runs()) {
    run.reserved = progress[charged.runs().size()].charged_steps;
    charged.add(run);
  }
  std::vector<Budget> all;
  for (const Grant& grant : authority().grants()) {
    Budget budget{grant,
                  grant.period_start(at),
                  grant.period_end(at),
                  grant.expired(at),
                  runs.claimed(grant, at),
                  charged.claimed(grant, at),
                  {}};
    for (const Claim& run : runs.runs())
      if (run.counts(grant, at)) budget.run_ids.push_back(run.entry->run_id);
    all.push_back(std::move(budget));
  }
  return all;
}

ClaimSums& Ledger::claims() const {
  // First, so that what others write meanwhile is looked at again the next time.
  const auto last = backend_->last_row();
  read_reservations();
  for (size_t i = claims_->runs().size(); i < in_order_.size(); ++i) {
    const Reservation& run = *in_order_[i];
    if (run.curve.empty()) run.curve = rdp_curve(run.entry.event, run.entry.relation, filter_orders_);
    claims_->add({&run.entry, &run.curve, run.allotment.steps(), 0, {}});
  }
  // Whichever is less to look at: the rows since, or the open runs.
  if (const int64_t rows = last ? last->id - claims_row_ : 0; rows > claims_->open_runs()) {
    std::vector<std::string> open;
    for (const Claim& run : claims_->runs())
      if (!run.closed_at) open.push_back(run.entry->run_id);
    const std::vector<RunProgress> progress = backend_->progress(open);
    for (size_t i = 0; i < open.size(); ++i)
      if (const auto at = closed_at(progress[i])) claims_->close(open[i], progress[i].charged_steps, *at);
  } else {
    for (const LedgerRow& row : backend_->rows_after(LedgerBackend::Rows::releases, claims_row_)) {
      const json payload = parsed(row);
      claims_->close(text_field(payload, "run_id"), int64_field(payload, "charged_steps"),
                     utc_seconds(text_field(payload, "at")));
    }
  }
  if (last) claims_row_ = last->id;
  return *claims_;
}

void Ledger::set_cap(const std::string& data_set, double epsilon, double delta) {
  require(!data_set.empty(), "a cap needs a data set; its name is empty");
  require(std::isfinite(epsilon) && epsilon > 0, "a cap's epsilon must be finite and above 0, got ", epsilon);
  require(delta > 0 && delta < 1, "a cap's delta must be above 0 and below 1, got ", delta);
  Transaction transaction(*backend_);
  if (const auto known = cap(data_set))
    throw Error(ErrorKind::invalid_argument,
                cat("the data set ", data_set, " has a cap of epsilon ", known->epsilon, " at delta ", known->delta,
                    " for ever; it cannot become ", epsilon, " at ", delta));
  require(runs_on(data_set).empty(), "the data set ", data_set,
          " already has runs; a cap must be set before the first: use a new ledger for new people");
  Appender rows = appender("cap");
  rows.append("cap", {{"data_set", data_set}, {"epsilon", epsilon}, {"delta", delta}});
  commit(transaction, rows);
}

std::optional<DataSetCap> Ledger::cap(const std::string& data_set) const {
  for (const LedgerRow& row : backend_->rows_after(LedgerBackend::Rows::caps, cap_row_)) {
    const json payload = parsed(row);
    caps_.try_emplace(text_field(payload, "data_set"),
                      DataSetCap{number_field(payload, "epsilon"), number_field(payload, "delta")});
    cap_row_ = row.id;
  }
  const auto found = caps_.find(data_set);
  return found == caps_.end() ? std::nullopt : std::optional(found->second);
}

void Ledger::reserve(const RunEntry& wanted) {
  RunEntry entry = wanted;
  validate(entry);
  const RunAllotment allotment = allotment_of(entry);  // throws when the accountant has no bound for the event
  Transaction transaction(*backend_);
  Appender rows = appender("reserve");
  if (const Member* who = key_ ? authority_.member(key_->id()) : nullptr) {
    inherit(entry, who->scope);
    check_within(*who, entry);
  }
  require(!find(entry.run_id), "the run ", entry.run_id, " is already in ", location_.text(),
          "; resume it or choose another run_id");
  ClaimSums& runs = claims();
  people_->check(entry);
  const int64_t steps = allotment.steps();
  if (steps == 0)
    throw Error(ErrorKind::budget_exhausted,
                cat("one step of ", to_json(entry.event), " costs epsilon ", allotment.epsilon(1),
                    ", the run may spend ", entry.epsilon_cap, "; add noise or lower the sample rate"));
  const RdpCurve curve = rdp_curve(entry.event, entry.relation, filter_orders_);
  const Claim added{&entry, &curve, steps, 0, {}};
  check_cap(runs, added);
  check_grants(authority_, runs, added, rows.now());
  json fields = to_fields(entry);
  fields["reserved_steps"] = steps;
  if (const auto& refused = allotment.refused()) fields["refused"] = to_fields(*refused);
  rows.append("reserve", std::move(fields));
  commit(transaction, rows);
}

void Ledger::check_cap(ClaimSums& runs, const Claim& added) const {
  const RunEntry& entry = *added.entry;
  const auto limit = cap(entry.data_set);
  if (!limit) return;
  const double would_spend = runs.claimed(entry.data_set, limit->delta, added);
  if (would_spend <= limit->epsilon) return;
  throw Error(ErrorKind::budget_exhausted,
              cat("the runs on data set ", entry.data_set, " with ", added.steps(), " steps of ", entry.run_id,
                  " would spend epsilon ", would_spend, ", its cap is ", limit->epsilon, " at delta ", limit->delta,
                  kWhyMore, entry.epsilon_cap, "); release idle runs, plan fewer steps or add noise"));
}

ChargeReceipt Ledger::charge(const std::string& run_id, int64_t first_step, int64_t last_step) {
  return charge({StepRange{run_id, first_step, last_step}}).front();
}

std::vector<ChargeReceipt> Ledger::charge(const std::vector<StepRange>& ranges) {
  for (const auto& [run_id, first, last] : ranges)
    require(first >= 1 && last >= first, "cannot charge steps ", first, " to ", last);
  if (ranges.empty()) return {};
  std::vector<std::string> run_ids;
  for (const auto& range : ranges) run_ids.push_back(range.run_id);
  std::ranges::sort(run_ids);
  run_ids.erase(std::ranges::unique(run_ids).begin(), run_ids.end());
  // The first ε of a run by "pld" takes a while to find: not while others wait for the lock.
  for (const std::string& run_id : run_ids)
    if (!reservations_.contains(run_id))
      if (const Reservation* run = find(run_id)) run->allotment.epsilon(run->allotment.steps());
  struct Progress {
    const Reservation* run;
    int64_t charged;
  };
  std::map<std::string_view, Progress> progress;
  Transaction transaction(*backend_);
  const std::vector<RunProgress> before = backend_->progress(run_ids);
  std::optional<Appender> rows;
  std::vector<ChargeReceipt> receipts;
  for (const auto& [run_id, first, last] : ranges) {
    auto found = progress.find(run_id);
    if (found == progress.end()) {
      const RunProgress& known =
          before[static_cast<size_t>(std::ranges::lower_bound(run_ids, run_id) - run_ids.begin())];
      const Reservation& run = open_run(run_id, known);
      // Who may write is asked of the ledger once: nobody else writes meanwhile.
      if (!rows)
        rows.emplace(appender("charge", run.by));
      else if (authority_.has_owner())
        authority_.check_writer("charge", key_->id(), run.by);
      check_granted(authority_, run_id, scope_of(run.entry), rows->now());
      found = progress.emplace(run_id, Progress{&run, known.charged_steps}).first;
    }
    auto& [run, charged] = found->second;
    require(first == charged + 1, "the run ", run_id, " is charged up to step ", charged,
            "; the next charge starts at ", charged + 1, ", not at ", first);
    const int64_t reserved = run->allotment.steps();
    const double epsilon = run->allotment.epsilon(std::min(last, run->entry.planned_steps));
    if (!(epsilon <= run->entry.epsilon_cap))
      throw Error(ErrorKind::budget_exhausted,
                  cat("step ", last, " of ", run_id, " would spend epsilon ", epsilon, " of ", run->entry.epsilon_cap,
                      " at delta ", run->entry.delta, "; step ", reserved, " is the last one"));
    if (last > reserved)
      throw Error(ErrorKind::budget_exhausted, cat("the run ", run_id, " has ", reserved, " steps reserved; step ",
                                                   last, " is not one of them: start a new run for more"));
    const LedgerRow row =
        rows->append("charge", {{"run_id", run_id}, {"first_step", first}, {"last_step", last}, {"epsilon", epsilon}});
    charged = last;
    receipts.push_back({row.id, row.hash, epsilon, first, last});
  }
  commit(transaction, *rows);
  return receipts;
}

void Ledger::release(const std::string& run_id) {
  Transaction transaction(*backend_);
  const RunProgress progress = backend_->progress({run_id}).front();
  const Reservation& run = open_run(run_id, progress);
  Appender rows = appender("release", run.by);
  const int64_t charged = progress.charged_steps;
  rows.append("release", {{"run_id", run_id}, {"charged_steps", charged}, {"epsilon", run.allotment.epsilon(charged)}});
  commit(transaction, rows);
}

std::optional<RunState> Ledger::run(const std::string& run_id) const {
  const Reservation* found = find(run_id);
  if (!found) return std::nullopt;
  const RunProgress progress = backend_->progress({run_id}).front();
  return RunState{found->entry,
                  found->allotment.steps(),
                  progress.charged_steps,
                  charged_epsilon(progress),
                  closed_at(progress).has_value(),
                  found->refused};
}

double Ledger::epsilon(const std::string& run_id, int64_t steps) const {
  const Reservation* found = find(run_id);
  require(found, "the run ", run_id, " is not in ", location_.text());
  return found->allotment.epsilon(steps);
}

std::vector<std::string> Ledger::run_ids() const {
  std::vector<std::string> ids;
  for (const Reservation* run : runs_on("")) ids.push_back(run->entry.run_id);
  return ids;
}

std::vector<std::string> Ledger::data_sets() const {
  std::set<std::string> names;
  for (const auto about : {LedgerBackend::Rows::caps, LedgerBackend::Rows::reservations})
    for (const LedgerRow& row : backend_->rows_after(about, 0)) names.insert(text_field(parsed(row), "data_set"));
  return {names.begin(), names.end()};
}

double Ledger::spent(const std::string& data_set, double delta) const {
  std::unique_ptr<Accountant> total;
  const std::vector<const Reservation*> runs = runs_on(data_set);
  const std::vector<RunProgress> progress = progress_of(runs);
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!total) total = make_accountant("rdp", runs[i]->entry.relation);
    total->compose(runs[i]->entry.event, progress[i].charged_steps);
  }
  return total ? total->epsilon(delta) : 0;
}

std::vector<LedgerRow> Ledger::rows(const std::string& run_id) const {
  return backend_->rows(run_id);
}

Head Ledger::head() const {
  return head_in(backend_->last_row());
}

Head Ledger::head_of(const std::string& run_id) const {
  return head_in(backend_->last_row_of(run_id));
}

SignedHead Ledger::signed_head() const {
  const OneMoment moment(*backend_);
  const auto last = backend_->last_row();
  SignedHead signed_head{head_in(last), "", ""};
  if (const auto found = last ? signature_of(*backend_, *last) : std::nullopt)
    if (const Member* who = authority().member(found->by))
      signed_head.public_key = who->public_key, signed_head.signature = found->value;
  return signed_head;
}

const Ledger::Reservation* Ledger::find(const std::string& run_id) const {
  if (const auto known = reservations_.find(run_id); known != reservations_.end()) return &known->second;
  const auto row = backend_->reservation(run_id);
  return row ? &keep(*row) : nullptr;
}

const Ledger::Reservation& Ledger::keep(const LedgerRow& row) const {
  const json payload = parsed(row);
  RunEntry entry = run_entry(payload);
  if (const auto known = reservations_.find(entry.run_id); known != reservations_.end()) return known->second;
  const std::string run_id = entry.run_id;
  RunAllotment allotment = allotment_of(entry, int64_field(payload, "reserved_steps"));
  Reservation run{std::move(entry), optional_text(payload, "by"), std::move(allotment), refused_steps(payload)};
  return reservations_.emplace(run_id, std::move(run)).first->second;
}

const Ledger::Reservation& Ledger::open_run(const std::string& run_id, const RunProgress& progress) const {
  const Reservation* found = find(run_id);
  require(found, "the run ", run_id, " is not in ", location_.text(), "; reserve it first");
  require(progress.released_at.empty(), "the run ", run_id, " is closed; start a new run");
  return *found;
}

void Ledger::read_reservations() const {
  for (const LedgerRow& row : backend_->rows_after(LedgerBackend::Rows::reservations, reservation_row_)) {
    in_order_.push_back(&keep(row));
    people_->add(in_order_.back()->entry);
    reservation_row_ = row.id;
  }
}

// All runs where the name is empty, in order of reservation.
std::vector<const Ledger::Reservation*> Ledger::runs_on(const std::string& data_set) const {
  read_reservations();
  std::vector<const Reservation*> runs;
  for (const Reservation* run : in_order_)
    if (data_set.empty() || run->entry.data_set == data_set) runs.push_back(run);
  return runs;
}

std::vector<RunProgress> Ledger::progress_of(const std::vector<const Reservation*>& runs) const {
  std::vector<std::string> run_ids;
  for (const Reservation* run : runs) run_ids.push_back(run->entry.run_id);
  return backend_->progress(run_ids);
}

}  // namespace sotto::accountants

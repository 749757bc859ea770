#include "accountants/ledger.h"

#include <cmath>
#include <cstdlib>
#include <ctime>

#include "accountants/ledger/append.h"
#include "accountants/ledger/calendar.h"
#include "accountants/ledger/database.h"
#include "accountants/ledger/payload.h"
#include "accountants/ledger/schema.h"
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
void check_last_signature(Database& database, const Authority& authority) {
  const Head last = last_row(database);
  const auto found = signature_of(database, last.id);
  const Member* who = found ? authority.member(found->by) : nullptr;
  if (!who || !signature_holds(who->public_key, signed_text(last), found->value))
    throw Error(ErrorKind::data,
                cat(database.path().string(), " was altered: the signature of row ", last.id,
                    found ? " does not hold" : " is missing", "; run `sotto ledger verify` and restore a backup"));
}

void check_last_row(Database& database) {
  std::string previous;
  Query query =
      database.query("SELECT id, payload, hash FROM (SELECT * FROM entry ORDER BY id DESC LIMIT 2) ORDER BY id");
  int64_t rows = 0, id = 0;
  for (; query.step(); ++rows) {
    id = query.integer(0);
    const json payload = json::parse(query.text(1), nullptr, false);
    const bool linked = payload.is_object() && (rows == 0 || payload.value("previous", json()) == previous);
    if (!linked || row_hash(query.text(1)) != query.text(2))
      throw Error(ErrorKind::data, cat(database.path().string(), " was altered: row ", id,
                                       " does not match its hash; run `sotto ledger verify` and restore a backup"));
    previous = query.text(2);
  }
  if (rows == 0 || (rows == 1 && id != 1))
    throw Error(ErrorKind::data, cat(database.path().string(), " was altered: its rows are missing; restore a backup"));
}

// What the run does not say about itself is what its member's key says.
void inherit(RunEntry& entry, const Scope& scope) {
  for (const auto& [path, known] : {std::pair{&entry.organisation, &scope.organisation},
                                    {&entry.purpose, &scope.purpose},
                                    {&entry.team, &scope.team},
                                    {&entry.group, &scope.group}})
    if (path->empty()) *path = *known;
}

// The largest step count up to `planned` that costs at most the entry's cap; ε grows with steps.
int64_t affordable_steps(const RunEntry& entry) {
  if (epsilon_of(entry, entry.planned_steps) <= entry.epsilon_cap) return entry.planned_steps;
  int64_t fits = 0, too_many = entry.planned_steps;
  while (too_many - fits > 1) {
    const int64_t middle = fits + (too_many - fits) / 2;
    (epsilon_of(entry, middle) <= entry.epsilon_cap ? fits : too_many) = middle;
  }
  return fits;
}

}  // namespace

Ledger::Ledger(std::filesystem::path path, std::unique_ptr<Database> database)
    : path_(std::move(path)), database_(std::move(database)) {}
Ledger::Ledger(Ledger&&) noexcept = default;
Ledger& Ledger::operator=(Ledger&&) noexcept = default;
Ledger::~Ledger() = default;

Ledger Ledger::open(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) {
    if (std::filesystem::exists(path.string() + "-wal"))
      throw Error(ErrorKind::io,
                  cat(path.string(), " is gone, but its log ", path.string(),
                      "-wal is there; restore the ledger, or remove the log if nothing was ever charged"));
    create_ledger(path);
  }
  return open_existing(path);
}

Ledger Ledger::open_existing(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path))
    throw Error(ErrorKind::io, cat("there is no ledger ", path.string(), "; check ledger.path"));
  if (!std::filesystem::is_regular_file(path))
    throw Error(ErrorKind::io, cat(path.string(), " is not a file; ledger.path must name one"));
  // SQLite would take an empty file for a new database, and every charge in a truncated ledger would be forgotten.
  if (std::filesystem::file_size(path) == 0)
    throw Error(ErrorKind::data,
                cat(path.string(), " is empty, so not a ledger; restore a backup or set ledger.path to a new file"));
  auto database = std::make_unique<Database>(path, Database::Access::read_write);
  check_identity(*database);
  if (database->read_only())
    throw Error(ErrorKind::io, cat(path.string(), " cannot be written; change its permissions or ledger.path"));
  database->run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  migrate(*database);
  if (const auto difference = schema_difference(*database); !difference.empty())
    throw Error(ErrorKind::data, cat(path.string(), " was altered: ", difference, "; restore a backup"));
  check_last_row(*database);
  Ledger ledger(path, std::move(database));
  Query genesis = ledger.database_->query("SELECT payload FROM entry WHERE id = 1");
  if (genesis.step())
    ledger.filter_orders_ = json::parse(genesis.text(0)).value("filter_orders", std::vector<double>());
  if (ledger.filter_orders_.empty())
    throw Error(ErrorKind::data, cat(path.string(), " was altered: its first row is not its own"));
  if (ledger.authority().has_owner()) check_last_signature(*ledger.database_, ledger.authority());
  return ledger;
}

int64_t Ledger::now() const {
  return Appender(*database_, nullptr, clock_ ? clock_() : std::time(nullptr)).now();
}

const Authority& Ledger::authority() const {
  {
    Query newest = database_->query("SELECT max(id) FROM entry WHERE kind IN ('owner', 'member', 'grant')");
    if (newest.step() && newest.integer(0) == authority_row_) return authority_;
  }
  Authority read;
  Query query =
      database_->query("SELECT id, payload FROM entry WHERE kind IN ('owner', 'member', 'grant') ORDER BY id");
  while (query.step()) {
    read.apply(query.integer(0), json::parse(query.text(1)));
    authority_row_ = query.integer(0);
  }
  authority_ = std::move(read);
  return authority_;
}

const SigningKey* Ledger::writer(const std::string& kind, const std::string& run_by) {
  if (const char* file = std::getenv("SOTTO_LEDGER_KEY"); file && *file && !key_) key_ = SigningKey::read(file);
  if (!authority().has_owner() && kind != "owner") {
    if (key_)
      throw Error(ErrorKind::configuration,
                  cat(path_.string(),
                      " has no owner, so its rows are not signed; is it the right file? Give it an owner with "
                      "`sotto ledger init --owner-key`, or leave the key and SOTTO_LEDGER_KEY out"));
    return nullptr;
  }
  if (!key_)
    throw Error(ErrorKind::configuration,
                cat(path_.string(), " takes signed rows only; name your key file in SOTTO_LEDGER_KEY"));
  if (kind != "owner") authority().check_writer(kind, key_->id(), run_by);
  return &*key_;
}

Appender Ledger::appender(const std::string& kind, const std::string& run_by) {
  return Appender(*database_, writer(kind, run_by), clock_ ? clock_() : std::time(nullptr));
}

void Ledger::declare(Appender& rows, const std::string& kind, const json& fields) {
  const LedgerRow row = rows.append(kind, fields);
  Authority after = authority_;
  try {
    after.apply(row.id, json::parse(row.payload));
  } catch (const Error& error) {
    throw Error(ErrorKind::invalid_argument, error.what());
  }
}

void Ledger::set_owner(const std::string& name) {
  require(!name.empty(), "an owner needs a name; it is empty");
  Transaction transaction(*database_);
  if (authority().has_owner())
    throw Error(ErrorKind::invalid_argument,
                cat(path_.string(), " has an owner; who has an owner's key can add others"));
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
  Transaction transaction(*database_);
  require(authority().has_owner(), path_.string(),
          " has no owner, so nobody can be a member; run `sotto ledger init "
          "--owner-key` first");
  Appender rows = appender("member");
  declare(rows, "member", to_fields(member));
  commit(transaction, rows);
}

void Ledger::grant(Grant grant) {
  Transaction transaction(*database_);
  Appender rows = appender("grant");
  if (grant.starts == 0) grant.starts = rows.now();
  validate(grant);
  require(!grant.expired(rows.now()), "the grant for ", to_text(grant.scope), " would have ended before now, ",
          utc_text(rows.now()));
  const double held = claimed(grant, claims(), rows.now(), filter_orders_);
  if (held > grant.epsilon)
    throw Error(ErrorKind::budget_exhausted,
                cat("the runs on ", to_text(grant.scope), " already hold epsilon ", held, ", the grant is ",
                    grant.epsilon, "; release idle runs or grant more"));
  declare(rows, "grant", to_fields(grant));
  commit(transaction, rows);
}

std::vector<Budget> Ledger::budgets() const {
  const int64_t at = now();
  const std::vector<Claim> runs = claims();
  std::vector<Claim> charged = runs;
  for (Claim& each : charged) each.reserved = each.charged;
  std::vector<Budget> all;
  for (const Grant& grant : authority().grants()) {
    Budget budget{grant,
                  grant.period_start(at),
                  grant.period_end(at),
                  grant.expired(at),
                  claimed(grant, runs, at, filter_orders_),
                  claimed(grant, charged, at, filter_orders_),
                  {}};
    for (const Claim& run : runs)
      if (run.counts(grant, at)) budget.run_ids.push_back(run.entry->run_id);
    all.push_back(std::move(budget));
  }
  return all;
}

std::vector<Claim> Ledger::claims() const {
  std::vector<Claim> all;
  for (const Reservation* run : runs_on("")) {
    if (run->curve.empty()) run->curve = rdp_curve(run->entry.event, run->entry.relation, filter_orders_);
    all.push_back(
        {&run->entry, &run->curve, run->steps, charged_steps(run->entry.run_id), closed_at(run->entry.run_id)});
  }
  return all;
}

void Ledger::set_cap(const std::string& data_set, double epsilon, double delta) {
  require(!data_set.empty(), "a cap needs a data set; its name is empty");
  require(std::isfinite(epsilon) && epsilon > 0, "a cap's epsilon must be finite and above 0, got ", epsilon);
  require(delta > 0 && delta < 1, "a cap's delta must be above 0 and below 1, got ", delta);
  Transaction transaction(*database_);
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
  Query query = database_->query("SELECT payload FROM entry WHERE kind = 'cap' ORDER BY id");
  while (query.step()) {
    const json payload = json::parse(query.text(0));
    if (text_field(payload, "data_set") == data_set)
      return DataSetCap{number_field(payload, "epsilon"), number_field(payload, "delta")};
  }
  return std::nullopt;
}

void Ledger::reserve(const RunEntry& wanted) {
  RunEntry entry = wanted;
  validate(entry);
  epsilon_of(entry, 1);  // throws when the accountant has no bound for the event
  Transaction transaction(*database_);
  Appender rows = appender("reserve");
  if (const Member* who = key_ ? authority_.member(key_->id()) : nullptr) {
    inherit(entry, who->scope);
    check_within(*who, entry);
  }
  require(!find(entry.run_id), "the run ", entry.run_id, " is already in ", path_.string(),
          "; resume it or choose another run_id");
  const std::vector<Claim> runs = claims();
  for (const Claim& other : runs) check_same_people(*other.entry, entry);
  const int64_t steps = affordable_steps(entry);
  if (steps == 0)
    throw Error(ErrorKind::budget_exhausted,
                cat("one step of ", to_json(entry.event), " costs epsilon ", epsilon_of(entry, 1),
                    ", the run may spend ", entry.epsilon_cap, "; add noise or lower the sample rate"));
  const RdpCurve curve = rdp_curve(entry.event, entry.relation, filter_orders_);
  const Claim added{&entry, &curve, steps, 0, {}};
  check_cap(runs, added);
  check_grants(authority_, runs, added, rows.now(), filter_orders_);
  json fields = to_fields(entry);
  fields["reserved_steps"] = steps;
  rows.append("reserve", std::move(fields));
  commit(transaction, rows);
}

void Ledger::check_cap(std::vector<Claim> runs, const Claim& added) const {
  const RunEntry& entry = *added.entry;
  const auto limit = cap(entry.data_set);
  if (!limit) return;
  runs.push_back(added);
  const double would_spend = claimed(entry.data_set, limit->delta, runs, filter_orders_);
  if (would_spend <= limit->epsilon) return;
  throw Error(ErrorKind::budget_exhausted,
              cat("the runs on data set ", entry.data_set, " with ", added.steps(), " steps of ", entry.run_id,
                  " would spend epsilon ", would_spend, ", its cap is ", limit->epsilon, " at delta ", limit->delta,
                  "; release idle runs, plan fewer steps or add noise"));
}

ChargeReceipt Ledger::charge(const std::string& run_id, int64_t first_step, int64_t last_step) {
  return charge({StepRange{run_id, first_step, last_step}}).front();
}

std::vector<ChargeReceipt> Ledger::charge(const std::vector<StepRange>& ranges) {
  for (const auto& [run_id, first, last] : ranges)
    require(first >= 1 && last >= first, "cannot charge steps ", first, " to ", last);
  if (ranges.empty()) return {};
  struct Progress {
    const Reservation* run;
    int64_t charged;
  };
  std::map<std::string_view, Progress> progress;
  Transaction transaction(*database_);
  std::optional<Appender> rows;
  std::vector<ChargeReceipt> receipts;
  for (const auto& [run_id, first, last] : ranges) {
    auto found = progress.find(run_id);
    if (found == progress.end()) {
      const Reservation& run = open_run(run_id);
      if (rows)
        writer("charge", run.by);
      else
        rows.emplace(appender("charge", run.by));
      check_granted(authority_, run.entry, rows->now());
      found = progress.emplace(run_id, Progress{&run, charged_steps(run_id)}).first;
    }
    auto& [run, charged] = found->second;
    require(first == charged + 1, "the run ", run_id, " is charged up to step ", charged,
            "; the next charge starts at ", charged + 1, ", not at ", first);
    const double epsilon = epsilon_of(run->entry, last);
    if (!(epsilon <= run->entry.epsilon_cap))
      throw Error(ErrorKind::budget_exhausted,
                  cat("step ", last, " of ", run_id, " would spend epsilon ", epsilon, " of ", run->entry.epsilon_cap,
                      " at delta ", run->entry.delta, "; step ", run->steps, " is the last one"));
    if (last > run->steps)
      throw Error(ErrorKind::budget_exhausted, cat("the run ", run_id, " has ", run->steps, " steps reserved; step ",
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
  Transaction transaction(*database_);
  const Reservation& run = open_run(run_id);
  Appender rows = appender("release", run.by);
  const int64_t charged = charged_steps(run_id);
  rows.append("release", {{"run_id", run_id}, {"charged_steps", charged}, {"epsilon", epsilon_of(run.entry, charged)}});
  commit(transaction, rows);
}

std::optional<RunState> Ledger::run(const std::string& run_id) const {
  const Reservation* found = find(run_id);
  if (!found) return std::nullopt;
  const bool is_closed = closed_at(run_id).has_value();
  const int64_t charged = charged_steps(run_id);
  return RunState{found->entry, found->steps, charged, epsilon_of(found->entry, charged), is_closed};
}

std::vector<std::string> Ledger::run_ids() const {
  std::vector<std::string> ids;
  for (const Reservation* run : runs_on("")) ids.push_back(run->entry.run_id);
  return ids;
}

std::vector<std::string> Ledger::data_sets() const {
  std::vector<std::string> names;
  Query query = database_->query(
      "SELECT DISTINCT json_extract(payload, '$.data_set') FROM entry WHERE kind IN ('cap', 'reserve') ORDER BY 1");
  while (query.step()) names.push_back(query.text(0));
  return names;
}

double Ledger::spent(const std::string& data_set, double delta) const {
  std::unique_ptr<Accountant> total;
  for (const Reservation* run : runs_on(data_set)) {
    if (!total) total = make_accountant("rdp", run->entry.relation);
    total->compose(run->entry.event, charged_steps(run->entry.run_id));
  }
  return total ? total->epsilon(delta) : 0;
}

std::vector<LedgerRow> Ledger::rows(const std::string& run_id) const {
  std::vector<LedgerRow> found;
  Query query = database_->query("SELECT id, kind, payload, hash FROM entry WHERE ?1 = '' OR run_id = ?1 ORDER BY id");
  query.bind(run_id);
  while (query.step()) found.push_back({query.integer(0), query.text(1), query.text(2), query.text(3)});
  return found;
}

Head Ledger::head() const {
  return last_row(*database_);
}

Head Ledger::head_of(const std::string& run_id) const {
  Query query = database_->query("SELECT id, hash FROM entry WHERE run_id = ? ORDER BY id DESC LIMIT 1");
  query.bind(run_id);
  return query.step() ? Head{query.integer(0), query.text(1)} : Head{};
}

SignedHead Ledger::signed_head() const {
  database_->run("BEGIN");  // one moment
  const Head last = last_row(*database_);
  SignedHead signed_head{last, "", ""};
  if (const auto found = signature_of(*database_, last.id))
    if (const Member* who = authority().member(found->by))
      signed_head.public_key = who->public_key, signed_head.signature = found->value;
  database_->run("COMMIT");
  return signed_head;
}

const Ledger::Reservation* Ledger::find(const std::string& run_id) const {
  if (const auto known = reservations_.find(run_id); known != reservations_.end()) return &known->second;
  const json payload = find_row(*database_, "reserve", run_id);
  if (payload.is_null()) return nullptr;
  Reservation run{run_entry(payload), int64_field(payload, "reserved_steps"), optional_text(payload, "by"), {}};
  return &reservations_.emplace(run_id, std::move(run)).first->second;
}

const Ledger::Reservation& Ledger::open_run(const std::string& run_id) const {
  const Reservation* found = find(run_id);
  require(found, "the run ", run_id, " is not in ", path_.string(), "; reserve it first");
  require(!closed_at(run_id), "the run ", run_id, " is closed; start a new run");
  return *found;
}

// All runs where the name is empty, in order of reservation.
std::vector<const Ledger::Reservation*> Ledger::runs_on(const std::string& data_set) const {
  std::vector<std::string> ids;
  {
    Query query = database_->query("SELECT run_id FROM entry WHERE kind = 'reserve' ORDER BY id");
    while (query.step()) ids.push_back(query.text(0));
  }
  std::vector<const Reservation*> runs;
  for (const auto& id : ids) {
    const Reservation* run = find(id);
    if (data_set.empty() || run->entry.data_set == data_set) runs.push_back(run);
  }
  return runs;
}

int64_t Ledger::charged_steps(const std::string& run_id) const {
  Query query = database_->query("SELECT max(last_step) FROM entry WHERE run_id = ? AND kind = 'charge'");
  query.bind(run_id).step();
  return query.integer(0);
}

std::optional<int64_t> Ledger::closed_at(const std::string& run_id) const {
  Query query =
      database_->query("SELECT json_extract(payload, '$.at') FROM entry WHERE run_id = ? AND kind = 'release'");
  if (!query.bind(run_id).step()) return std::nullopt;
  return utc_seconds(query.text(0));
}

}  // namespace sotto::accountants

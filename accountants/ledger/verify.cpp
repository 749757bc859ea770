#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "accountants/ledger.h"
#include "accountants/ledger/database.h"
#include "accountants/ledger/payload.h"
#include "accountants/ledger/schema.h"
#include "accountants/ledger/shared_rules.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

constexpr size_t kMostFindings = 100;
// Another build's exp and log may round a receipt's epsilon differently.
constexpr double kEpsilonTolerance = 1e-9;

struct Run {
  RunEntry entry;
  int64_t reserved, charged;
  bool closed;
  RdpCurve curve;  // of a step, where its data set has a cap
  int64_t claim() const { return closed ? charged : reserved; }
};

// Follows the rows from the first and notes what an honest program cannot have written.
class Replay {
 public:
  explicit Replay(VerifyReport& report) : report_(report) {}

  void row(int64_t id, const std::string& text, const std::string& hash) {
    if (id != report_.head.id + 1) note(id, cat("follows row ", report_.head.id, ": rows are missing or out of order"));
    if (row_hash(text) != hash) note(id, "does not match its hash");
    const json payload = json::parse(text, nullptr, false);
    if (!payload.is_object() || payload.dump() != text) {
      note(id, "is not canonical JSON");
    } else {
      if (payload.value("id", json()) != id) note(id, cat("says that it is row ", payload.value("id", json()).dump()));
      if (payload.value("previous", json()) != report_.head.hash) note(id, "does not continue the row before");
      try {
        meaning(id, payload);
      } catch (const Error& error) {
        note(id, error.what());
      }
    }
    report_.head = {id, hash};
  }

  void note(int64_t id, const std::string& what) { note(cat("row ", id, " ", what)); }
  void note(const std::string& what) {
    report_.ok = false;
    if (report_.findings.size() < kMostFindings) report_.findings.push_back(what);
  }

 private:
  void meaning(int64_t id, const json& payload) {
    const std::string kind = text_field(payload, "kind");
    if ((kind == "genesis") != (id == 1)) note(id, cat("has the kind ", kind, " in the wrong place"));
    if (kind == "genesis") return genesis(id, payload);
    if (kind == "cap") return cap(id, payload);
    if (kind == "reserve") return reserve(id, payload);
    const auto found = runs_.find(text_field(payload, "run_id"));
    if (found == runs_.end())
      return note(id, cat("names the run ", text_field(payload, "run_id"), ", which was never reserved"));
    Run& run = found->second;
    if (run.closed) note(id, cat("comes after the release of ", run.entry.run_id));
    if (kind == "charge") return charge(id, payload, run);
    if (kind != "release") return note(id, cat("has the unknown kind ", kind));
    if (int64_field(payload, "charged_steps") != run.charged)
      note(id, cat("releases at a step that is not the charged ", run.charged));
    check_epsilon(id, payload, run);
    run.closed = true;
  }

  void genesis(int64_t id, const json& payload) {
    const json orders = payload.value("filter_orders", json());
    if (!orders.is_array() || orders.empty() ||
        !std::ranges::all_of(orders, [](const json& o) { return o.is_number(); }))
      return note(id, "has no filter_orders");
    filter_orders_ = orders.get<std::vector<double>>();
  }

  void cap(int64_t id, const json& payload) {
    const std::string data_set = text_field(payload, "data_set");
    const DataSetCap cap{number_field(payload, "epsilon"), number_field(payload, "delta")};
    if (!caps_.emplace(data_set, cap).second) note(id, cat("caps the data set ", data_set, " again"));
    for (const auto& [name, run] : runs_)
      if (run.entry.data_set == data_set) return note(id, cat("caps the data set ", data_set, " after its run ", name));
  }

  void reserve(int64_t id, const json& payload) {
    Run run{run_entry(payload), int64_field(payload, "reserved_steps"), 0, false, {}};
    validate(run.entry);
    if (run.reserved < 1 || run.reserved > run.entry.planned_steps) note(id, cat("reserves ", run.reserved, " steps"));
    for (const auto& [name, other] : runs_) check_same_people(other.entry, run.entry);
    if (caps_.contains(run.entry.data_set)) check_cap(id, run);
    const std::string name = run.entry.run_id;
    if (!runs_.emplace(name, std::move(run)).second) note(id, cat("reserves the run ", name, " again"));
  }

  void check_cap(int64_t id, Run& run) {
    const DataSetCap& limit = caps_.at(run.entry.data_set);
    CapFilter filter(filter_orders_);
    run.curve = filter.curve(run.entry);
    filter.add(run.curve, run.reserved);
    for (const auto& [name, other] : runs_)
      if (other.entry.data_set == run.entry.data_set && !other.curve.empty()) filter.add(other.curve, other.claim());
    const double claimed = filter.epsilon(limit.delta);
    if (claimed > limit.epsilon * (1 + kEpsilonTolerance))
      note(id, cat("takes the data set ", run.entry.data_set, " to epsilon ", claimed, ", its cap is ", limit.epsilon));
  }

  void charge(int64_t id, const json& payload, Run& run) {
    const int64_t first = int64_field(payload, "first_step"), last = int64_field(payload, "last_step");
    if (first != run.charged + 1 || last < first)
      note(id, cat("charges steps ", first, " to ", last, " after step ", run.charged));
    if (last > run.reserved) note(id, cat("charges step ", last, " of ", run.reserved, " reserved"));
    run.charged = std::max(run.charged, last);
    check_epsilon(id, payload, run);
  }

  void check_epsilon(int64_t id, const json& payload, const Run& run) {
    const double said = number_field(payload, "epsilon"), truth = epsilon_of(run.entry, run.charged);
    if (std::abs(said - truth) > kEpsilonTolerance * truth)
      note(id, cat("says epsilon ", said, ", its steps cost ", truth));
    if (said > run.entry.epsilon_cap * (1 + kEpsilonTolerance))
      note(id, cat("spends more than the run's cap of ", run.entry.epsilon_cap));
  }

  VerifyReport& report_;
  std::vector<double> filter_orders_;
  std::map<std::string, DataSetCap> caps_;
  std::map<std::string, Run> runs_;
};

}  // namespace

VerifyReport Ledger::verify(const std::filesystem::path& path, const std::optional<Head>& expected) {
  if (!std::filesystem::is_regular_file(path)) throw Error(ErrorKind::io, cat("there is no ledger ", path.string()));
  if (std::filesystem::file_size(path) == 0)
    throw Error(ErrorKind::data, cat(path.string(), " is empty, so not a ledger"));
  Database database(path, Database::Access::read_only);
  check_identity(database);
  VerifyReport report{true, {0, ""}, {}};
  Replay replay(report);
  try {
    database.run("BEGIN");  // one moment of a ledger that others may be writing
    if (const auto difference = schema_difference(database); !difference.empty())
      replay.note("the tables were altered: " + difference);
    Query check = database.query("PRAGMA integrity_check(1)");
    if (check.step() && check.text(0) != "ok") replay.note("the file is damaged: " + check.text(0));
    Query query = database.query("SELECT id, payload, hash FROM entry ORDER BY id");
    bool head_seen = false;
    while (query.step()) {
      replay.row(query.integer(0), query.text(1), query.text(2));
      if (!expected || query.integer(0) != expected->id) continue;
      head_seen = true;
      if (query.text(2) != expected->hash)
        replay.note(expected->id, "is not the one that was certified: history was rewritten");
    }
    if (report.head.id == 0) replay.note("there are no rows");
    if (expected && !head_seen)
      replay.note(
          cat("the ledger ends at row ", report.head.id, ", row ", expected->id, " was certified: it was cut off"));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
    replay.note(error.what());
  }
  return report;
}

}  // namespace sotto::accountants

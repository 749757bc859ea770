#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accountants/accountant.h"
#include "accountants/event.h"
#include "accountants/ledger/authority.h"
#include "accountants/ledger/location.h"
#include "accountants/ledger/signing_key.h"
#include "accountants/rdp/curve.h"
#include "accountants/run_allotment.h"

namespace sotto::accountants {

class Appender;
class ClaimSums;
class KnownPeople;
class LedgerBackend;
struct Claim;
struct RunProgress;

// What a run asks for before it reads private data. Texts are UTF-8 and not empty, numbers finite.
struct RunEntry {
  std::string run_id, who;
  std::string data_set;         // the name under which runs on the same people are added up
  std::string data_hash;        // of the file's content
  std::string unit_of_privacy;  // the schema's column
  NeighbouringRelation relation;
  std::string accountant;     // a name in run_accountant_names()
  std::string privacy_hash;   // of the PrivacyConfig
  Event event;                // one step
  double epsilon_cap, delta;  // what the run may spend
  int64_t planned_steps;
  // What the run belongs to, for the grants that cover it; paths as in Scope, empty where nothing is said.
  std::string organisation = {}, purpose = {}, team = {}, group = {};
};

// Steps first..last of a run; the first step is 1.
struct StepRange {
  std::string run_id;
  int64_t first, last;
};

struct ChargeReceipt {
  int64_t row_id;
  std::string hash;  // of the row: with row_id, a head to verify against
  double epsilon;    // the run's, after last_step
  int64_t first_step, last_step;
};

struct RunState {
  RunEntry entry;
  int64_t reserved_steps;  // the most it may charge: planned_steps, or fewer where epsilon_cap ends earlier
  int64_t charged_steps;   // the highest charged step; the next charge starts one above
  double epsilon;          // spent, at entry.delta
  bool closed;             // released: no further charge
  // Where it has fewer steps than planned, by an accountant with lower bounds: the proof that these are too many.
  std::optional<RefusedSteps> refused = {};
};

// One line of the ledger as stored; docs/formats/ledger.md says what a payload holds.
struct LedgerRow {
  int64_t id;
  std::string kind, payload, hash;
};

struct Head {
  int64_t id;
  std::string hash;
  bool operator==(const Head&) const = default;
};

struct DataSetCap {
  double epsilon, delta;
};

// A head that a member signed: kept elsewhere, it finds out an older copy of the ledger that was put back.
struct SignedHead {
  Head head;
  std::string public_key, signature;  // both empty in a ledger without an owner
};

// A grant and what its period has seen. The ε are by the ledger's filter, rounded up.
struct Budget {
  Grant grant;
  int64_t period_start;
  std::optional<int64_t> period_end;
  bool expired;
  double claimed, spent;  // by all reserved steps of open runs and the charged ones of closed; by charged steps alone
  std::vector<std::string> run_ids;  // that count in the period
};

struct VerifyReport {
  bool ok;
  int64_t signatures;                 // that were checked
  Head head;                          // the last row read
  std::vector<std::string> findings;  // what is wrong, with row numbers; at most 100
};

// The durable, append-only record of privacy spent on a data set: an SQLite file, or tables on a PostgreSQL server,
// shared by all runs and processes that use it. A call that returns has reached the disk; one that throws has written
// nothing. A charge is final: only what was reserved and never charged can be given back. Not for use by two threads at
// once; processes may share the ledger freely.
class Ledger {
 public:
  // Opens the ledger, or creates it (a file of mode 0600) where there is none. Throws io when the location cannot be
  // used, data when the file is not a ledger, has a newer format, lacks its append-only triggers or ends in a broken
  // row.
  static Ledger open(const LedgerLocation& location);

  // Opens an existing ledger; throws io where there is none.
  static Ledger open_existing(const LedgerLocation& location);

  Ledger(Ledger&&) noexcept;
  Ledger& operator=(Ledger&&) noexcept;
  ~Ledger();

  // Gives the data set a cap on what all its runs together may spend, for ever: it cannot be changed, and must be there
  // before the data set's first run, because a cap chosen after looking at results proves nothing.
  void set_cap(const std::string& data_set, double epsilon, double delta);
  std::optional<DataSetCap> cap(const std::string& data_set) const;

  // Rows that this object writes are signed with the key. Without a call, the file that the environment variable
  // SOTTO_LEDGER_KEY names is used. A ledger with an owner takes signed rows only; one without takes no key.
  void sign_with(SigningKey key) { key_ = std::move(key); }
  // Makes the key's holder the first owner: from here on every row is signed, and the rules of Authority hold.
  void set_owner(const std::string& name);
  // Adds a member, or changes a known one's role and scope. Takes an owner's key.
  void admit(const Member& member);
  const Authority& authority() const;

  // Allows spending within grant.scope, and nothing beyond it: a reservation must fit every grant that concerns it. The
  // grant counts from grant.starts, or now if that is 0; runs that are open then count too. One grant a scope at a
  // time; an owner's key where the ledger has an owner, and then nothing is spent that no grant covers.
  // Throws budget_exhausted when open runs already hold more.
  void grant(Grant grant);
  std::vector<Budget> budgets() const;  // oldest first

  // Sets min(planned_steps, what epsilon_cap allows) steps aside: a RunAllotment, which by "pld" is what makes the run
  // a schedule that is fixed before its first step. Caps and grants add runs up by a filter, whatever their accountant.
  // Throws invalid_argument when the run is already
  // there, or when the data set is known with another unit of privacy or relation, or its content under another name;
  // budget_exhausted when not even one step fits the run's cap, or the whole does not fit the data set's.
  void reserve(const RunEntry& entry);

  // Charges steps first_step..last_step (the first step is 1) before they are taken. Throws budget_exhausted when the
  // run would pass its cap or its reservation, invalid_argument for an unknown or closed run and unless first_step is
  // the highest charged step + 1.
  ChargeReceipt charge(const std::string& run_id, int64_t first_step, int64_t last_step);
  // All of them in one commit and under one signature, or none.
  std::vector<ChargeReceipt> charge(const std::vector<StepRange>& ranges);

  // Closes the run and gives its uncharged steps back to the data set's cap. What was charged stays charged.
  void release(const std::string& run_id);

  std::optional<RunState> run(const std::string& run_id) const;
  // What the run's first `steps` steps cost, as its charges say it.
  double epsilon(const std::string& run_id, int64_t steps) const;
  std::vector<std::string> run_ids() const;  // in order of reservation
  std::vector<std::string> data_sets() const;

  // The ε at delta of everything charged to the data set so far, all runs composed by curve. For a schedule of runs
  // that was fixed in advance; where runs are planned after looking at results, the bound is the cap.
  double spent(const std::string& data_set, double delta) const;

  std::vector<LedgerRow> rows(const std::string& run_id = "") const;  // all, or those that name the run; oldest first
  Head head() const;
  // The run's own last row. Others may have written behind it; {0, ""} of a run that is not there.
  Head head_of(const std::string& run_id) const;
  SignedHead signed_head() const;
  // Seconds since 1970, instead of the system's clock. The ledger's time never goes back, whatever the clock does.
  void set_clock(std::function<int64_t()> clock) { clock_ = std::move(clock); }
  int64_t now() const;

  const LedgerLocation& location() const { return location_; }

  // Reads every row without changing anything. Finds edits, gaps, reordering, rows that no honest program writes and a
  // changed table; with an expected head also truncation and a rewritten history before it. Throws io when the file
  // cannot be read, data when it is not a ledger at all.
  static VerifyReport verify(const LedgerLocation& location, const std::optional<Head>& expected = std::nullopt);

 private:
  // A reservation as its row has it; such rows never change, so each is read once.
  struct Reservation {
    RunEntry entry;
    std::string by;  // the key id, where the row is signed
    RunAllotment allotment;
    std::optional<RefusedSteps> refused;
    mutable RdpCurve curve{};  // of a step at the filter's orders, once it is asked for
  };
  Ledger(LedgerLocation location, std::unique_ptr<LedgerBackend> backend);
  const Reservation* find(const std::string& run_id) const;
  const Reservation& keep(const LedgerRow& row) const;
  const Reservation& open_run(const std::string& run_id, const RunProgress& progress) const;
  std::vector<RunProgress> progress_of(const std::vector<const Reservation*>& runs) const;
  std::vector<const Reservation*> runs_on(const std::string& data_set) const;
  void check_cap(ClaimSums& runs, const Claim& added) const;
  void read_reservations() const;
  // What runs claim now: kept, and brought up to date by the rows since the last call.
  ClaimSums& claims() const;
  // The key to sign a row of that kind with, if it may be written.
  const SigningKey* writer(const std::string& kind, const std::string& run_by = "");
  Appender appender(const std::string& kind, const std::string& run_by = "");
  // Adds a row about authority after holding it to the rules.
  void declare(Appender& rows, const std::string& kind, const nlohmann::json& fields);

  LedgerLocation location_;
  std::unique_ptr<LedgerBackend> backend_;
  std::vector<double> filter_orders_;  // of the data sets' caps, fixed when the ledger was made
  std::optional<SigningKey> key_;
  std::function<int64_t()> clock_;
  mutable std::map<std::string, Reservation> reservations_;
  mutable std::vector<const Reservation*> in_order_;
  mutable int64_t reservation_row_ = 0;          // the last row that in_order_ has seen
  mutable std::unique_ptr<KnownPeople> people_;  // of in_order_
  mutable std::unique_ptr<ClaimSums> claims_;
  mutable int64_t claims_row_ = 0;  // the last row that claims_ has seen
  mutable std::map<std::string, DataSetCap> caps_;
  mutable int64_t cap_row_ = 0;  // the last row that caps_ has seen
  mutable Authority authority_;
  mutable int64_t authority_row_ = 0;  // the last row that authority_ has seen
};

}  // namespace sotto::accountants

#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accountants/accountant.h"
#include "accountants/event.h"

namespace sotto::accountants {

class Database;

// What a run asks for before it reads private data. Texts are UTF-8 and not empty, numbers finite.
struct RunEntry {
  std::string run_id, who;
  std::string data_set;         // the name under which runs on the same people are added up
  std::string data_hash;        // of the file's content
  std::string unit_of_privacy;  // the schema's column
  NeighbouringRelation relation;
  std::string accountant;     // a name in accountant_names()
  std::string privacy_hash;   // of the PrivacyConfig
  Event event;                // one step
  double epsilon_cap, delta;  // what the run may spend
  int64_t planned_steps;
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

struct VerifyReport {
  bool ok;
  Head head;                          // the last row read
  std::vector<std::string> findings;  // what is wrong, with row numbers; at most 100
};

// The durable, append-only record of privacy spent on a data set: an SQLite file shared by all runs and processes that
// use it. A call that returns has reached the disk; one that throws has written nothing. A charge is final: only what
// was reserved and never charged can be given back. Not for use by two threads at once; processes may share the file
// freely.
class Ledger {
 public:
  // Opens the ledger, or creates it (mode 0600) where no file is. Throws io when the path cannot be used, data when the
  // file is not a ledger, has a newer format, lacks its append-only triggers or ends in a broken row.
  static Ledger open(const std::filesystem::path& path);

  // Opens an existing ledger; throws io where there is none.
  static Ledger open_existing(const std::filesystem::path& path);

  Ledger(Ledger&&) noexcept;
  Ledger& operator=(Ledger&&) noexcept;
  ~Ledger();

  // Gives the data set a cap on what all its runs together may spend, for ever: it cannot be changed, and must be there
  // before the data set's first run, because a cap chosen after looking at results proves nothing.
  void set_cap(const std::string& data_set, double epsilon, double delta);
  std::optional<DataSetCap> cap(const std::string& data_set) const;

  // Sets min(planned_steps, what epsilon_cap allows) steps aside. Throws invalid_argument when the run is already
  // there, or when the data set is known with another unit of privacy or relation, or its content under another name;
  // budget_exhausted when not even one step fits the run's cap, or the whole does not fit the data set's.
  void reserve(const RunEntry& entry);

  // Charges steps first_step..last_step (the first step is 1) before they are taken. Throws budget_exhausted when the
  // run would pass its cap or its reservation, invalid_argument for an unknown or closed run and unless first_step is
  // the highest charged step + 1.
  ChargeReceipt charge(const std::string& run_id, int64_t first_step, int64_t last_step);

  // Closes the run and gives its uncharged steps back to the data set's cap. What was charged stays charged.
  void release(const std::string& run_id);

  std::optional<RunState> run(const std::string& run_id) const;
  std::vector<std::string> run_ids() const;  // in order of reservation
  std::vector<std::string> data_sets() const;

  // The ε at delta of everything charged to the data set so far, all runs composed by curve. For a schedule of runs
  // that was fixed in advance; where runs are planned after looking at results, the bound is the cap.
  double spent(const std::string& data_set, double delta) const;

  std::vector<LedgerRow> rows(const std::string& run_id = "") const;  // all, or those that name the run; oldest first
  Head head() const;
  const std::filesystem::path& path() const { return path_; }

  // Reads every row without changing anything. Finds edits, gaps, reordering, rows that no honest program writes and a
  // changed table; with an expected head also truncation and a rewritten history before it. Throws io when the file
  // cannot be read, data when it is not a ledger at all.
  static VerifyReport verify(const std::filesystem::path& path, const std::optional<Head>& expected = std::nullopt);

 private:
  // A reservation as its row has it; such rows never change, so each is read once.
  struct Reservation {
    RunEntry entry;
    int64_t steps;
  };
  Ledger(std::filesystem::path path, std::unique_ptr<Database> database);
  const Reservation* find(const std::string& run_id) const;
  const Reservation& open_run(const std::string& run_id) const;
  std::vector<const Reservation*> runs_on(const std::string& data_set) const;
  int64_t charged_steps(const std::string& run_id) const;
  bool closed(const std::string& run_id) const;
  void check_cap(const RunEntry& entry, int64_t steps) const;

  std::filesystem::path path_;
  std::unique_ptr<Database> database_;
  std::vector<double> filter_orders_;  // of the data sets' caps, fixed when the ledger was made
  mutable std::map<std::string, Reservation> reservations_;
};

}  // namespace sotto::accountants

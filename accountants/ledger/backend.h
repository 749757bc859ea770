#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accountants/ledger.h"
#include "accountants/ledger/location.h"

namespace sotto::accountants {

constexpr int64_t kLedgerFormat = 2;  // of rows and their meaning

// What a run has come to.
struct RunProgress {
  int64_t charged_steps = 0;  // the highest charged step
  std::optional<LedgerRow> last_charge = {};
  std::string released_at = {};  // as its release row says it; empty while it is open
};

// Where a ledger's rows are kept. It stores and finds them, and refuses by itself to change one, to leave one out or to
// charge a step twice; what may be written is decided above it, by Ledger. One object is one connection, for one thread
// at a time; several processes may have one each. Every failure throws: data when the store is damaged or no ledger, io
// otherwise, naming it.
class LedgerBackend {
 public:
  // The rows that can be asked for by what they are about: owner, member and grant; cap; reserve; release. The last are
  // found by looking at every row above the id.
  enum class Rows { authority, caps, reservations, releases };

  virtual ~LedgerBackend() = default;
  virtual const std::string& name() const = 0;  // for people

  // From here on nobody else writes until commit() or roll_back(): what was read stays true. Waits for
  // others as long as the location says, then throws io. Use Transaction.
  virtual void begin() = 0;
  // What was appended is durable when this returns, all of it; when it throws, none of it is there, unless the message
  // says that this could not be found out.
  virtual void commit() = 0;
  virtual void roll_back() noexcept = 0;
  // From here to end_read() everything is read as it was at one moment, while others may go on writing. Use OneMoment.
  virtual void begin_read() = 0;
  virtual void end_read() noexcept = 0;

  // Inside begin() and commit(): the row after the last, and a signature of the last row.
  virtual void append(const LedgerRow& row) = 0;
  virtual void sign(const Head& last, const std::string& signature) = 0;

  virtual std::optional<LedgerRow> last_row() = 0;
  virtual std::optional<LedgerRow> last_row_of(const std::string& run_id) = 0;
  virtual std::optional<LedgerRow> row(int64_t id) = 0;
  virtual std::optional<LedgerRow> reservation(const std::string& run_id) = 0;
  virtual std::vector<LedgerRow> rows_after(Rows about, int64_t id) = 0;  // above that id, oldest first
  virtual std::vector<LedgerRow> rows(const std::string& run_id) = 0;     // all where it is empty, oldest first
  virtual std::vector<RunProgress> progress(const std::vector<std::string>& run_ids) = 0;  // in that order
  virtual std::optional<std::string> signature(int64_t id) = 0;
};

// Holds the one write lock from the start, so that what was checked stays true until commit(). Rolls back otherwise.
class Transaction {
 public:
  explicit Transaction(LedgerBackend& backend) : backend_(backend) { backend_.begin(); }
  ~Transaction() {
    if (open_) backend_.roll_back();
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit() {
    backend_.commit();
    open_ = false;
  }

 private:
  LedgerBackend& backend_;
  bool open_ = true;
};

// What is read while this lives is of one moment.
class OneMoment {
 public:
  explicit OneMoment(LedgerBackend& backend) : backend_(backend) { backend_.begin_read(); }
  ~OneMoment() { backend_.end_read(); }
  OneMoment(const OneMoment&) = delete;
  OneMoment& operator=(const OneMoment&) = delete;

 private:
  LedgerBackend& backend_;
};

// The indexes through which a ledger finds runs and their last steps. verify() reads each by itself and holds what it
// says to the rows.
enum class LedgerIndex { by_run, one_charge_a_step, one_reservation, one_release, by_kind, by_authority };
constexpr LedgerIndex kLedgerIndexes[] = {LedgerIndex::by_run,          LedgerIndex::one_charge_a_step,
                                          LedgerIndex::one_reservation, LedgerIndex::one_release,
                                          LedgerIndex::by_kind,         LedgerIndex::by_authority};
std::string_view to_string(LedgerIndex index);

// A whole ledger as it was at one moment, for verify() and copies: changes, migrates and trusts nothing. Rows are read
// from the first to the last, then what else is asked for; texts hold until the next of their kind.
class LedgerReader {
 public:
  // What a store keeps of a row beside its payload, to find it by; where the payload has no text it is empty, or 0.
  struct Columns {
    std::string_view kind, run_id;
    int64_t first_step, last_step;
    bool operator==(const Columns&) const = default;
  };
  struct Row {
    int64_t id;
    std::string_view payload, hash;
    std::optional<std::string_view> signature;
    std::optional<Columns> columns = {};  // where they are stored, and not computed when they are asked for
  };
  struct IndexEntry {
    int64_t id;
    std::string_view kind, run_id;
    int64_t step;
  };

  virtual ~LedgerReader() = default;
  // What differs from the tables, indexes and triggers of a ledger of its format, or from a whole store; else nothing.
  virtual std::vector<std::string> alterations() = 0;
  virtual std::optional<Row> next_row() = 0;  // by id
  // After the last row: the row that a signature is of, but that is not there; else 0.
  virtual int64_t stray_signature() = 0;
  // What the index has of each row: kind, run_id and step as by_run has them (there the last step); what an index does
  // not need is empty or 0. False when ledgers of this format have no such index.
  virtual bool read_index(LedgerIndex index, const std::function<void(const IndexEntry&)>& see) = 0;

  // How many rows the index leads to, each counted once; nothing where read_index has to be asked. With the columns
  // held to every payload that says as much, for less. Announce it before the first row: a server counts meanwhile.
  virtual void announce_count() {}
  virtual std::optional<int64_t> rows_through(LedgerIndex) { return std::nullopt; }
};

// Whether this build can reach ledgers on servers.
bool has_postgres();

// An existing ledger to write to; a file's format is brought up to date. Throws io where there is none or where it
// cannot be used, data when it is no ledger or its tables were altered.
std::unique_ptr<LedgerBackend> open_backend(const LedgerLocation& location);
// Makes a ledger whose first rows `fill` appends, whole or not at all. False where there is one already, which it
// leaves as it is.
bool create_backend(const LedgerLocation& location, const std::function<void(LedgerBackend&)>& fill);
// Throws io when it cannot be read, data when it is not a ledger at all.
std::unique_ptr<LedgerReader> read_ledger(const LedgerLocation& location);

}  // namespace sotto::accountants

#include "accountants/ledger/postgres_backend.h"
#include "accountants/ledger/postgres_connection.h"
#include "accountants/ledger/postgres_schema.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

// In the order of an index, which with nothing else allowed is read through it; nothing there is as in a file 0 or
// empty.
const char* entries_of(LedgerIndex index) {
  switch (index) {
    case LedgerIndex::by_run:
      return "SELECT id, kind, run_id, last_step FROM entry ORDER BY run_id, kind, last_step";
    case LedgerIndex::one_charge_a_step:
      return "SELECT id, kind, run_id, first_step FROM entry WHERE kind = 'charge' ORDER BY run_id, first_step";
    case LedgerIndex::one_reservation:
      return "SELECT id, kind, run_id, 0 FROM entry WHERE kind = 'reserve' ORDER BY run_id";
    case LedgerIndex::one_release:
      return "SELECT id, kind, run_id, 0 FROM entry WHERE kind = 'release' ORDER BY run_id";
    case LedgerIndex::by_kind:
      return "SELECT id, kind, '', 0 FROM entry WHERE kind IN ('genesis', 'cap', 'reserve') ORDER BY kind, id";
    default:
      return "SELECT id, '', '', 0 FROM entry WHERE kind IN ('owner', 'member', 'grant') ORDER BY id";
  }
}

// What a statement gives, some thousand rows at a time.
class Cursor {
 public:
  Cursor(PostgresConnection& connection, const std::string& name, const char* sql)
      : connection_(connection), name_(name) {
    connection_.run(cat("DECLARE ", name_, " NO SCROLL CURSOR FOR ", sql));
  }
  // False after the last row. The columns of the row before are gone then.
  bool step() {
    if (at_end_) return false;
    if (++row_ < batch_.rows()) return true;
    batch_ = connection_.run(cat("FETCH 4096 FROM ", name_));
    row_ = 0;
    at_end_ = batch_.rows() == 0;
    if (at_end_) connection_.run("CLOSE " + name_);
    return !at_end_;
  }
  int64_t integer(int column) const { return batch_.integer(row_, column); }
  std::string_view view(int column) const { return batch_.view(row_, column); }

 private:
  PostgresConnection& connection_;
  std::string name_;
  PostgresResult batch_{nullptr};
  int row_ = 0;
  bool at_end_ = false;
};

class PostgresReader final : public LedgerReader {
 public:
  explicit PostgresReader(const LedgerLocation& location)
      : connection_(location, PostgresConnection::Access::read_only) {
    connection_.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    if (look_for_ledger(connection_) != PostgresPlace::ledger)
      throw Error(ErrorKind::io, cat("there is no ledger ", location.text()));
    connection_.run(
        "SET LOCAL enable_seqscan TO off; SET LOCAL enable_sort TO off; "
        "SET LOCAL enable_incremental_sort TO off; SET LOCAL enable_bitmapscan TO off");
  }

  std::vector<std::string> alterations() override {
    const std::string difference = postgres_difference(connection_);
    if (difference.empty()) return {};
    return {"the tables were altered: " + difference};
  }

  std::optional<Row> next_row() override {
    if (!rows_)
      rows_ = std::make_unique<Cursor>(connection_, "rows", "SELECT id, payload, hash FROM entry ORDER BY id");
    if (!rows_->step()) return std::nullopt;
    return Row{rows_->integer(0), rows_->view(1), rows_->view(2)};
  }

  std::optional<Signature> next_signature() override {
    if (!signatures_)
      signatures_ = std::make_unique<Cursor>(connection_, "signatures", "SELECT id, value FROM signature ORDER BY id");
    if (!signatures_->step()) return std::nullopt;
    return Signature{signatures_->integer(0), signatures_->view(1)};
  }

  bool read_index(LedgerIndex index, const std::function<void(const IndexEntry&)>& see) override {
    Cursor entries(connection_, "entries", entries_of(index));
    while (entries.step()) see({entries.integer(0), entries.view(1), entries.view(2), entries.integer(3)});
    return true;
  }

 private:
  PostgresConnection connection_;
  std::unique_ptr<Cursor> rows_, signatures_;
};

}  // namespace

std::unique_ptr<LedgerReader> read_postgres(const LedgerLocation& location) {
  return std::make_unique<PostgresReader>(location);
}

}  // namespace sotto::accountants

#include <array>

#include "accountants/ledger/postgres_backend.h"
#include "accountants/ledger/postgres_connection.h"
#include "accountants/ledger/postgres_schema.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

// The rows that the two large indexes lead to. With nothing else allowed the server gathers where an index points to,
// which takes each row once, and then reads the table as it lies: half the work of reading it in the index's order. The
// first condition only by_run can serve; the second, which says nothing of run_id, is cheapest through the index that
// holds nothing else.
constexpr const char* kCounts =
    "SELECT (SELECT count(*) FROM entry WHERE run_id >= '' OR run_id IS NULL), "
    "(SELECT count(*) FROM entry WHERE kind = 'charge' AND first_step >= 0); COMMIT";

// In the order of an index, which with nothing else allowed is read through it; nothing there is as in a file 0 or
// empty.
const char* entries_of(LedgerIndex index) {
  switch (index) {
    case LedgerIndex::one_reservation:
      return "SELECT id, kind, run_id, 0::bigint FROM entry WHERE kind = 'reserve' ORDER BY run_id";
    case LedgerIndex::one_release:
      return "SELECT id, kind, run_id, 0::bigint FROM entry WHERE kind = 'release' ORDER BY run_id";
    case LedgerIndex::by_kind:
      return "SELECT id, kind, '', 0::bigint FROM entry WHERE kind IN ('genesis', 'cap', 'reserve') ORDER BY kind, id";
    default:
      return "SELECT id, '', '', 0::bigint FROM entry WHERE kind IN ('owner', 'member', 'grant') ORDER BY id";
  }
}

// What a SELECT of bigints and texts gives, row after row, in PostgreSQL's binary format for COPY: a header; of each
// row the number of its fields, then each field's size, or -1 for none, and its bytes; in the end -1. Numbers are
// big-endian.
class Stream {
 public:
  Stream(PostgresConnection& connection, const char* select) : connection_(connection) {
    connection_.start_copy(select);
  }
  // False after the last row. The columns of the row before are gone then.
  bool step() {
    if (at_end_) return false;
    message_ = connection_.next_copied();
    rest_ = message_.view();
    if (is_first_) take(kSignature), take(2 * sizeof(int32_t));  // flags, and the size of nothing
    is_first_ = false;
    const int64_t fields = number(sizeof(int16_t));
    at_end_ = fields < 0;
    if (at_end_) {
      if (!connection_.next_copied().view().empty()) fail();
      return false;
    }
    if (fields > kMostFields) fail();
    for (int64_t i = 0; i < fields; ++i) {
      const int64_t size = number(sizeof(int32_t));
      fields_[static_cast<size_t>(i)] = size < 0 ? std::nullopt : std::optional(take(static_cast<size_t>(size)));
    }
    return true;
  }
  std::optional<std::string_view> field(size_t column) const { return fields_[column]; }
  std::string_view view(size_t column) const { return fields_[column].value_or(""); }
  int64_t integer(size_t column) const { return fields_[column] ? number_in(*fields_[column]) : 0; }

 private:
  static constexpr int64_t kMostFields = 8;
  static constexpr size_t kSignature = 11;

  [[noreturn]] void fail() const {
    throw Error(ErrorKind::data,
                cat(connection_.location().text(), " sent rows in a form that this program does not know"));
  }
  std::string_view take(size_t size) {
    if (size > rest_.size()) fail();
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  static int64_t number_in(std::string_view bytes) {
    uint64_t value = bytes.empty() || static_cast<int8_t>(bytes[0]) >= 0 ? 0 : ~uint64_t{0};
    for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
    return static_cast<int64_t>(value);
  }
  int64_t number(size_t size) { return number_in(take(size)); }

  PostgresConnection& connection_;
  PostgresBytes message_;
  std::string_view rest_;
  std::array<std::optional<std::string_view>, kMostFields> fields_;
  bool is_first_ = true, at_end_ = false;
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
        "SET LOCAL enable_incremental_sort TO off; SET LOCAL enable_bitmapscan TO off; SET LOCAL enable_hashjoin TO "
        "off");
  }

  std::vector<std::string> alterations() override {
    const std::string difference = postgres_difference(connection_);
    if (difference.empty()) return {};
    return {"the tables were altered: " + difference};
  }

  std::optional<Row> next_row() override {
    if (!rows_)
      rows_ = std::make_unique<Stream>(
          connection_,
          "SELECT id, payload, hash, value, kind, run_id, first_step, last_step FROM entry LEFT JOIN signature "
          "USING (id) ORDER BY id");
    if (!rows_->step()) return std::nullopt;
    return Row{rows_->integer(0), rows_->view(1), rows_->view(2), rows_->field(3),
               Columns{rows_->view(4), rows_->view(5), rows_->integer(6), rows_->integer(7)}};
  }

  int64_t stray_signature() override {
    const PostgresResult found = connection_.query(
        {"SELECT id FROM signature WHERE NOT EXISTS (SELECT FROM entry WHERE entry.id = signature.id) "
         "ORDER BY id LIMIT 1"});
    return found.rows() == 0 ? 0 : found.integer(0, 0);
  }

  bool read_index(LedgerIndex index, const std::function<void(const IndexEntry&)>& see) override {
    Stream entries(connection_, entries_of(index));
    while (entries.step()) see({entries.integer(0), entries.view(1), entries.view(2), entries.integer(3)});
    return true;
  }

  // On a second connection that sees the same moment. A bitmap that does not fit into work_mem forgets rows for pages
  // and would count those of a page that its index lacks: 80 bytes a page are needed, three times that is allowed.
  void announce_count() override {
    const std::string moment = connection_.query({"SELECT pg_export_snapshot()"}).text(0, 0);
    counter_ = std::make_unique<PostgresConnection>(connection_.location(), PostgresConnection::Access::read_only);
    counter_->run(cat("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '", moment, "'"));
    counter_->run(
        "SELECT set_config('work_mem', (pg_table_size('entry') / 8192 / 4 + 8192)::text, true); SET LOCAL "
        "enable_indexscan TO off; SET LOCAL enable_indexonlyscan TO off; SET LOCAL enable_bitmapscan TO on; "
        "SET LOCAL max_parallel_workers_per_gather TO 0");
    counter_->start(kCounts);
  }

  std::optional<int64_t> rows_through(LedgerIndex index) override {
    if (counter_) {
      const PostgresResult counted = counter_->finish();
      counts_ = {counted.integer(0, 0), counted.integer(0, 1)};
      counter_.reset();
    }
    const auto column = static_cast<size_t>(index);
    return column < counts_.size() ? std::optional(counts_[column]) : std::nullopt;
  }

 private:
  PostgresConnection connection_;
  std::unique_ptr<PostgresConnection> counter_;  // while it counts
  std::vector<int64_t> counts_;                  // through by_run and one_charge_a_step, which come first
  std::unique_ptr<Stream> rows_;
};

}  // namespace

std::unique_ptr<LedgerReader> read_postgres(const LedgerLocation& location) {
  return std::make_unique<PostgresReader>(location);
}

}  // namespace sotto::accountants

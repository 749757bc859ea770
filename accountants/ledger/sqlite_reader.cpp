#include "accountants/ledger/schema.h"
#include "accountants/ledger/sqlite_backend.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

// Each reads its index alone.
const char* entries_of(LedgerIndex index) {
  switch (index) {
    case LedgerIndex::by_run:
      return "SELECT id, kind, run_id, last_step FROM entry INDEXED BY by_run";
    case LedgerIndex::one_charge_a_step:
      return "SELECT id, 'charge', run_id, first_step FROM entry INDEXED BY one_charge_a_step WHERE kind = 'charge'";
    case LedgerIndex::one_reservation:
      return "SELECT id, 'reserve', run_id, 0 FROM entry INDEXED BY one_reservation WHERE kind = 'reserve'";
    case LedgerIndex::one_release:
      return "SELECT id, 'release', run_id, 0 FROM entry INDEXED BY one_release WHERE kind = 'release'";
    case LedgerIndex::by_kind:
      return "SELECT id, kind, '', 0 FROM entry INDEXED BY by_kind WHERE kind IN ('genesis', 'cap', 'reserve')";
    default:
      return "SELECT id, '', '', 0 FROM entry INDEXED BY by_authority WHERE kind IN ('owner', 'member', 'grant')";
  }
}

class SqliteReader final : public LedgerReader {
 public:
  explicit SqliteReader(const LedgerLocation& file) : database_(file, Database::Access::read_only) {
    check_identity(database_);
    database_.run("BEGIN");
    format_ = database_.pragma("user_version");
  }

  std::vector<std::string> alterations() override {
    std::vector<std::string> found;
    if (const auto difference = schema_difference(database_); !difference.empty())
      found.push_back("the tables were altered: " + difference);
    const std::filesystem::path& path = database_.path();
    const int64_t size = database_.pragma("page_count") * database_.pragma("page_size");
    if (!has_log(path) && std::filesystem::file_size(path) < static_cast<uintmax_t>(size))
      found.push_back(cat("the file was cut short: it has ", std::filesystem::file_size(path), " of ", size, " bytes"));
    return found;
  }

  std::optional<Row> next_row() override {
    if (rows_at_end_) return std::nullopt;  // SQLite would start again from the first
    if (!rows_) {
      rows_.reset(new Query(database_.query("SELECT id, payload, hash FROM entry ORDER BY id")));
      next_signature();
    }
    if (is_given_) next_signature();
    rows_at_end_ = !rows_->step();
    const int64_t id = rows_at_end_ ? 0 : rows_->integer(0);
    for (; signed_row_ && (rows_at_end_ || *signed_row_ < id); next_signature())
      if (stray_signature_ == 0) stray_signature_ = *signed_row_;
    if (rows_at_end_) return std::nullopt;
    is_given_ = signed_row_ == id;
    return Row{id, rows_->view(1), rows_->view(2), is_given_ ? std::optional(signatures_->view(1)) : std::nullopt};
  }

  int64_t stray_signature() override { return stray_signature_; }

  bool read_index(LedgerIndex index, const std::function<void(const IndexEntry&)>& see) override {
    if (index == LedgerIndex::by_authority && format_ < 2) return false;
    Query query = database_.query(entries_of(index));
    while (query.step()) see({query.integer(0), query.view(1), query.view(2), query.integer(3)});
    return true;
  }

 private:
  void next_signature() {
    is_given_ = false;
    signed_row_.reset();
    if (format_ < 2) return;
    if (!signatures_) signatures_.reset(new Query(database_.query("SELECT id, value FROM signature ORDER BY id")));
    if (signatures_->step()) signed_row_ = signatures_->integer(0);
  }

  Database database_;
  int64_t format_;
  std::unique_ptr<Query> rows_, signatures_;
  bool rows_at_end_ = false;
  std::optional<int64_t> signed_row_;  // of the signature that comes next, or was given with the last row
  bool is_given_ = false;
  int64_t stray_signature_ = 0;
};

}  // namespace

std::unique_ptr<LedgerReader> read_sqlite(const LedgerLocation& file) {
  const std::filesystem::path& path = file.file();
  if (!std::filesystem::is_regular_file(path)) throw Error(ErrorKind::io, cat("there is no ledger ", path.string()));
  if (std::filesystem::file_size(path) == 0)
    throw Error(ErrorKind::data, cat(path.string(), " is empty, so not a ledger"));
  return std::make_unique<SqliteReader>(file);
}

}  // namespace sotto::accountants

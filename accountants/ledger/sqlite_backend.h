#pragma once
#include <filesystem>
#include <memory>

#include "accountants/ledger/backend.h"
#include "accountants/ledger/database.h"

namespace sotto::accountants {

// A ledger in an SQLite file: docs/formats/ledger.md.
class SqliteBackend final : public LedgerBackend {
 public:
  // The file as it is; for what makes and migrates ledgers.
  explicit SqliteBackend(Database& database) : database_(database) {}

  // An existing ledger to write to: its format is brought up to date. Throws io when the path cannot be used, data when
  // it is no ledger or its tables were altered.
  static std::unique_ptr<LedgerBackend> open(const LedgerLocation& file);

  const std::string& name() const override { return database_.name(); }
  void begin() override { database_.run("BEGIN IMMEDIATE"); }
  void commit() override { database_.run("COMMIT"); }
  void roll_back() noexcept override;
  void begin_read() override { database_.run("BEGIN"); }
  void end_read() noexcept override { roll_back(); }
  void append(const LedgerRow& row) override;
  void sign(const Head& last, const std::string& signature) override;
  std::optional<LedgerRow> last_row() override;
  std::optional<LedgerRow> last_row_of(const std::string& run_id) override;
  std::optional<LedgerRow> row(int64_t id) override;
  std::optional<LedgerRow> reservation(const std::string& run_id) override;
  std::vector<LedgerRow> rows_after(Rows about, int64_t id) override;
  std::vector<LedgerRow> rows(const std::string& run_id) override;
  std::vector<RunProgress> progress(const std::vector<std::string>& run_ids) override;
  std::optional<std::string> signature(int64_t id) override;

 private:
  explicit SqliteBackend(std::unique_ptr<Database> database) : owned_(std::move(database)), database_(*owned_) {}

  std::unique_ptr<Database> owned_;
  Database& database_;
};

// Throws io when the path cannot be read, data when it is not a ledger at all.
std::unique_ptr<LedgerReader> read_sqlite(const LedgerLocation& file);

}  // namespace sotto::accountants

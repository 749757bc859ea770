#include "accountants/ledger/backend.h"

#include "accountants/ledger/postgres_backend.h"
#include "accountants/ledger/schema.h"
#include "accountants/ledger/sqlite_backend.h"

namespace sotto::accountants {

std::string_view to_string(LedgerIndex index) {
  constexpr std::string_view names[] = {"by_run",      "one_charge_a_step", "one_reservation",
                                        "one_release", "by_kind",           "by_authority"};
  return names[static_cast<size_t>(index)];
}

std::unique_ptr<LedgerBackend> open_backend(const LedgerLocation& location) {
  return location.on_server() ? open_postgres(location) : SqliteBackend::open(location);
}

bool create_backend(const LedgerLocation& location, const std::function<void(LedgerBackend&)>& fill) {
  return location.on_server() ? create_postgres(location, fill) : create_ledger(location.file(), fill);
}

std::unique_ptr<LedgerReader> read_ledger(const LedgerLocation& location) {
  return location.on_server() ? read_postgres(location) : read_sqlite(location);
}

}  // namespace sotto::accountants

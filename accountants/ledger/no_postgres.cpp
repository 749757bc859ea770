// Where the build found no libpq.
#include "accountants/ledger/postgres_backend.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

[[noreturn]] void fail(const LedgerLocation& location) {
  throw Error(ErrorKind::configuration,
              cat("cannot open ", location.text(),
                  ": this sotto was built without PostgreSQL. Install libpq (Debian: libpq-dev) and build again, or "
                  "name a file in ledger.path"));
}

}  // namespace

bool has_postgres() {
  return false;
}

std::unique_ptr<LedgerBackend> open_postgres(const LedgerLocation& location) {
  fail(location);
}

bool create_postgres(const LedgerLocation& location, const std::function<void(LedgerBackend&)>&) {
  fail(location);
}

std::unique_ptr<LedgerReader> read_postgres(const LedgerLocation& location) {
  fail(location);
}

}  // namespace sotto::accountants

#pragma once
#include <memory>

#include "accountants/ledger/backend.h"
#include "accountants/ledger/location.h"

namespace sotto::accountants {

// A ledger in a PostgreSQL database (docs/formats/ledger.md), or an error that says what this build lacks.
//
// Throws io when the server cannot be reached or has no ledger there, data when its tables were altered.
std::unique_ptr<LedgerBackend> open_postgres(const LedgerLocation& location);
// False where there is a ledger; otherwise makes one whose first rows `fill` appends, in one transaction.
bool create_postgres(const LedgerLocation& location, const std::function<void(LedgerBackend&)>& fill);
std::unique_ptr<LedgerReader> read_postgres(const LedgerLocation& location);

}  // namespace sotto::accountants

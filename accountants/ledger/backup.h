#pragma once
#include "accountants/ledger/location.h"

namespace sotto::accountants {

// A copy of the ledger as it is at this moment, while others go on writing to it, put in place whole: every row, hash
// and signature. From and to files and servers alike: so a ledger moves to PostgreSQL, and back. Throws io when there
// is a ledger at `to` (or the log of one), data when the ledger does not verify. Restoring is the same the other way
// round, and for the same reason never over a ledger that is there: what it had been charged since the copy would be
// forgotten.
void back_up(const LedgerLocation& ledger, const LedgerLocation& to);

}  // namespace sotto::accountants

#pragma once
#include <filesystem>

namespace sotto::accountants {

// A copy of the ledger as it is at this moment, while others go on writing to it: built beside `to` (mode 0600),
// verified, and put in place whole. Throws io when `to` or its log exists, data when the ledger does not verify.
// Restoring is the same the other way round, and for the same reason never over a ledger that is there: what it had
// been charged since the copy would be forgotten.
void back_up(const std::filesystem::path& ledger, const std::filesystem::path& to);

}  // namespace sotto::accountants

#pragma once
#include <filesystem>

#include "accountants/ledger.h"

namespace sotto::accountants {

// A head to keep away from its ledger, as JSON: format_version, id, head_hash and, where it is signed, public_key and
// signature. Written beside and renamed.
void write_head(const std::filesystem::path& path, const SignedHead& head);

// Throws io when the file cannot be read, data when it is no head or its signature does not hold.
SignedHead read_head(const std::filesystem::path& path);

}  // namespace sotto::accountants

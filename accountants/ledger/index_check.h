#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "accountants/ledger/backend.h"

namespace sotto::accountants {

// Whether the ledger's indexes say the same as its rows: the ledger finds runs and their last steps through them. Each
// entry is hashed (SipHash, under a key of this object alone), and the sums over rows and index must agree; so the
// order does not matter, and no entry can make up for another. Where the reader counts what an index leads to, the
// number of rows must agree. As good as SQLite's integrity_check for this, without
// computing each row's columns again, and several times faster.
class IndexCheck {
 public:
  IndexCheck();
  struct Sum {
    uint64_t hashes = 0;
    int64_t rows = 0;
  };
  struct Sums : std::array<Sum, std::size(kLedgerIndexes)> {
    Sums& operator+=(const Sums& more);
  };

  // Adds a row as its payload says; the texts are empty and the steps 0 where the payload has none. Several threads may
  // do so, each to sums of its own. Where the reader will count what the two large indexes lead to, nothing is hashed
  // for them.
  void add(Sums& sums, int64_t id, std::string_view kind, std::string_view run_id, int64_t first_step,
           int64_t last_step, bool counted) const;
  // The name of an index that differs from the sums over all rows, or empty.
  std::string difference(LedgerReader& ledger, const Sums& sums) const;

 private:
  uint64_t hash(int64_t id, std::string_view kind, std::string_view run_id, int64_t step) const;

  std::array<uint8_t, 16> key_;
};

}  // namespace sotto::accountants

#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "accountants/ledger.h"
#include "accountants/ledger/backend.h"
#include "accountants/ledger/signing_key.h"

namespace sotto::accountants {

// Adds rows inside the caller's transaction. What it adds is chained to the last row, dated not before it (so a clock
// that went back renews nothing) and, where there is a key, signed at the end as one group.
class Appender {
 public:
  // `clock` is the time in seconds; `key` may be null and must outlive this.
  Appender(LedgerBackend& backend, const SigningKey* key, int64_t clock);

  // `fields` plus id, previous, kind, at and, with a key, by. Throws invalid_argument for a text that is not UTF-8.
  LedgerRow append(const std::string& kind, nlohmann::json fields);
  // Signs the last row, and with it every row before. Call it last; does nothing without a key.
  void sign();

  int64_t now() const { return now_; }  // the ledger's time: the clock's, or the last row's where that is later

 private:
  LedgerBackend& backend_;
  const SigningKey* key_;
  Head last_;
  int64_t now_;
};

// What the first row of a new ledger says.
nlohmann::json genesis_fields();

// The key id and the signature of a row, where it has one of its own.
struct RowSignature {
  std::string by, value;
};
std::optional<RowSignature> signature_of(LedgerBackend& backend, const LedgerRow& row);

// What a signature of that row signs. The hash stands for all rows up to it.
std::string signed_text(const Head& head);

}  // namespace sotto::accountants

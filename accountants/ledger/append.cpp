#include "accountants/ledger/append.h"

#include <algorithm>

#include "accountants/ledger/calendar.h"
#include "accountants/ledger/payload.h"
#include "accountants/rdp/orders.h"
#include "base/error.h"
#include "base/fault_point.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

std::string dump(const json& payload) {
  try {
    return payload.dump();
  } catch (const json::exception&) {
    throw Error(ErrorKind::invalid_argument, "a text for the ledger is not UTF-8; use UTF-8 names");
  }
}

}  // namespace

Appender::Appender(LedgerBackend& backend, const SigningKey* key, int64_t clock)
    : backend_(backend), key_(key), last_{0, ""}, now_(clock) {
  const auto last = backend.last_row();
  if (!last) return;
  last_ = {last->id, last->hash};
  now_ = std::max(now_, utc_seconds(text_field(parsed(*last), "at")));
}

LedgerRow Appender::append(const std::string& kind, json fields) {
  fields["id"] = last_.id + 1;
  fields["previous"] = last_.hash;
  fields["kind"] = kind;
  fields["at"] = utc_text(now_);
  if (key_) fields["by"] = key_->id();
  LedgerRow row{last_.id + 1, kind, dump(fields), ""};
  row.hash = row_hash(row.payload);
  fault_point("ledger.before_insert");
  backend_.append(row);
  last_ = {row.id, row.hash};
  return row;
}

void Appender::sign() {
  if (key_) backend_.sign(last_, key_->sign(signed_text(last_)));
}

json genesis_fields() {
  return {{"format", kLedgerFormat}, {"filter_orders", filter_orders()}};
}

std::optional<RowSignature> signature_of(LedgerBackend& backend, const LedgerRow& row) {
  const auto value = backend.signature(row.id);
  if (!value) return std::nullopt;
  return RowSignature{optional_text(parsed(row), "by"), *value};
}

std::string signed_text(const Head& head) {
  return cat("sotto ledger row ", head.id, " ", head.hash);
}

}  // namespace sotto::accountants

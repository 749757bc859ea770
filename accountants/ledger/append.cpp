#include "accountants/ledger/append.h"

#include <algorithm>

#include "accountants/ledger/calendar.h"
#include "accountants/ledger/payload.h"
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

Appender::Appender(Database& database, const SigningKey* key, int64_t clock)
    : database_(database), key_(key), last_{0, ""}, now_(clock) {
  Query query = database.query("SELECT id, hash, json_extract(payload, '$.at') FROM entry ORDER BY id DESC LIMIT 1");
  if (!query.step()) return;
  last_ = {query.integer(0), query.text(1)};
  now_ = std::max(now_, utc_seconds(query.text(2)));
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
  database_.query("INSERT INTO entry (id, payload, hash) VALUES (?, ?, ?)")
      .bind(row.id)
      .bind(row.payload)
      .bind(row.hash)
      .step();
  last_ = {row.id, row.hash};
  return row;
}

void Appender::sign() {
  if (!key_) return;
  database_.query("INSERT INTO signature (id, value) VALUES (?, ?)")
      .bind(last_.id)
      .bind(key_->sign(signed_text(last_)))
      .step();
}

Head last_row(Database& database) {
  Query query = database.query("SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1");
  return query.step() ? Head{query.integer(0), query.text(1)} : Head{0, ""};
}

std::optional<RowSignature> signature_of(Database& database, int64_t id) {
  Query query = database.query(
      "SELECT value, (SELECT json_extract(payload, '$.by') FROM entry WHERE entry.id = signature.id) FROM signature "
      "WHERE id = ?");
  if (!query.bind(id).step()) return std::nullopt;
  return RowSignature{query.text(1), query.text(0)};
}

std::string signed_text(const Head& head) {
  return cat("sotto ledger row ", head.id, " ", head.hash);
}

}  // namespace sotto::accountants

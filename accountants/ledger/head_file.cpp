#include "accountants/ledger/head_file.h"

#include <nlohmann/json.hpp>

#include "accountants/ledger/append.h"
#include "accountants/ledger/payload.h"
#include "base/atomic_file.h"
#include "base/error.h"

namespace sotto::accountants {

void write_head(const std::filesystem::path& path, const SignedHead& head) {
  nlohmann::json object = {{"format_version", 1}, {"id", head.head.id}, {"head_hash", head.head.hash}};
  if (!head.signature.empty()) object.update({{"public_key", head.public_key}, {"signature", head.signature}});
  write_file(path, object.dump(2) + "\n");
}

SignedHead read_head(const std::filesystem::path& path) {
  const nlohmann::json object = nlohmann::json::parse(read_file(path), nullptr, false);
  if (!object.is_object() || !object.contains("head_hash"))
    throw Error(ErrorKind::data, cat(path.string(), " holds no head of a ledger; `sotto ledger head` writes one"));
  if (const int64_t version = int64_field(object, "format_version"); version != 1)
    throw Error(ErrorKind::data, cat(path.string(), " has the format_version ", version, "; use a newer sotto"));
  SignedHead found{{int64_field(object, "id"), text_field(object, "head_hash")},
                   optional_text(object, "public_key"),
                   optional_text(object, "signature")};
  if (!found.signature.empty() && !signature_holds(found.public_key, signed_text(found.head), found.signature))
    throw Error(ErrorKind::data, cat(path.string(), " was altered: its signature does not hold"));
  return found;
}

}  // namespace sotto::accountants

#include "accountants/ledger/index_check.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace sotto::accountants {
namespace {

struct Index {
  const char *name, *entries;  // id, kind, run_id, step
  int64_t since = 1;
};
// Each query reads its index alone.
constexpr Index kIndexes[] = {
    {"by_run", "SELECT id, kind, run_id, last_step FROM entry INDEXED BY by_run"},
    {"one_charge_a_step",
     "SELECT id, 'charge', run_id, first_step FROM entry INDEXED BY one_charge_a_step WHERE kind = 'charge'"},
    {"one_reservation", "SELECT id, 'reserve', run_id, 0 FROM entry INDEXED BY one_reservation WHERE kind = 'reserve'"},
    {"one_release", "SELECT id, 'release', run_id, 0 FROM entry INDEXED BY one_release WHERE kind = 'release'"},
    {"by_kind", "SELECT id, kind, '', 0 FROM entry INDEXED BY by_kind WHERE kind IN ('genesis', 'cap', 'reserve')"},
    {"by_authority",
     "SELECT id, '', '', 0 FROM entry INDEXED BY by_authority WHERE kind IN ('owner', 'member', 'grant')", 2},
};

}  // namespace

IndexCheck::IndexCheck() {
  static_assert(crypto_shorthash_KEYBYTES == sizeof key_ && std::size(accountants::kIndexes) == kIndexes);
  randombytes_buf(key_.data(), key_.size());
}

uint64_t IndexCheck::hash(int64_t id, std::string_view kind, std::string_view run_id, int64_t step) const {
  constexpr size_t kUsual = 256;
  char usual[kUsual];
  std::string longer;
  const size_t size = 2 * sizeof(int64_t) + 1 + kind.size() + run_id.size();
  if (size > kUsual) longer.resize(size);
  char* at = size > kUsual ? longer.data() : usual;
  const char* start = at;
  std::memcpy(at, &id, sizeof id), at += sizeof id;
  std::memcpy(at, &step, sizeof step), at += sizeof step;
  at = std::copy(kind.begin(), kind.end(), at);
  *at++ = 0;
  std::copy(run_id.begin(), run_id.end(), at);
  uint64_t out;
  crypto_shorthash(reinterpret_cast<uint8_t*>(&out), reinterpret_cast<const uint8_t*>(start), size, key_.data());
  return out;
}

void IndexCheck::row(int64_t id, std::string_view kind, std::string_view run_id, int64_t first_step,
                     int64_t last_step) {
  sums_[0] += hash(id, kind, run_id, last_step);
  if (kind == "charge") sums_[1] += hash(id, kind, run_id, first_step);
  if (kind == "reserve") sums_[2] += hash(id, kind, run_id, 0);
  if (kind == "release") sums_[3] += hash(id, kind, run_id, 0);
  if (kind == "genesis" || kind == "cap" || kind == "reserve") sums_[4] += hash(id, kind, "", 0);
  if (kind == "owner" || kind == "member" || kind == "grant") sums_[5] += hash(id, "", "", 0);
}

std::string IndexCheck::difference(Database& database) const {
  const int64_t format = database.pragma("user_version");
  for (size_t i = 0; i < kIndexes; ++i) {
    const Index& index = accountants::kIndexes[i];
    if (index.since > format) continue;
    uint64_t sum = 0;
    Query query = database.query(index.entries);
    while (query.step()) sum += hash(query.integer(0), query.view(1), query.view(2), query.integer(3));
    if (sum != sums_[i]) return index.name;
  }
  return "";
}

}  // namespace sotto::accountants

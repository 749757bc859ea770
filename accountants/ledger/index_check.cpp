#include "accountants/ledger/index_check.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace sotto::accountants {
IndexCheck::IndexCheck() {
  static_assert(crypto_shorthash_KEYBYTES == sizeof key_);
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

void IndexCheck::add(Sums& sums, int64_t id, std::string_view kind, std::string_view run_id, int64_t first_step,
                     int64_t last_step) const {
  sums[0] += hash(id, kind, run_id, last_step);
  if (kind == "charge") sums[1] += hash(id, kind, run_id, first_step);
  if (kind == "reserve") sums[2] += hash(id, kind, run_id, 0);
  if (kind == "release") sums[3] += hash(id, kind, run_id, 0);
  if (kind == "genesis" || kind == "cap" || kind == "reserve") sums[4] += hash(id, kind, "", 0);
  if (kind == "owner" || kind == "member" || kind == "grant") sums[5] += hash(id, "", "", 0);
}

std::string IndexCheck::difference(LedgerReader& ledger, const Sums& sums) const {
  for (const LedgerIndex index : kLedgerIndexes) {
    uint64_t sum = 0;
    const bool there = ledger.read_index(index, [&](const LedgerReader::IndexEntry& entry) {
      sum += hash(entry.id, entry.kind, entry.run_id, entry.step);
    });
    if (there && sum != sums[static_cast<size_t>(index)]) return std::string(to_string(index));
  }
  return "";
}

}  // namespace sotto::accountants

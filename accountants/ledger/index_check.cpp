#include "accountants/ledger/index_check.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace sotto::accountants {

IndexCheck::Sums& IndexCheck::Sums::operator+=(const Sums& more) {
  for (size_t i = 0; i < size(); ++i) {
    (*this)[i].hashes += more[i].hashes;
    (*this)[i].rows += more[i].rows;
  }
  return *this;
}

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
                     int64_t last_step, bool counted) const {
  const auto count = [&](LedgerIndex index, uint64_t hash) {
    Sum& sum = sums[static_cast<size_t>(index)];
    sum.hashes += hash;
    ++sum.rows;
  };
  count(LedgerIndex::by_run, counted ? 0 : hash(id, kind, run_id, last_step));
  if (kind == "charge") count(LedgerIndex::one_charge_a_step, counted ? 0 : hash(id, kind, run_id, first_step));
  if (kind == "reserve") count(LedgerIndex::one_reservation, hash(id, kind, run_id, 0));
  if (kind == "release") count(LedgerIndex::one_release, hash(id, kind, run_id, 0));
  if (kind == "genesis" || kind == "cap" || kind == "reserve") count(LedgerIndex::by_kind, hash(id, kind, "", 0));
  if (kind == "owner" || kind == "member" || kind == "grant") count(LedgerIndex::by_authority, hash(id, "", "", 0));
}

std::string IndexCheck::difference(LedgerReader& ledger, const Sums& sums) const {
  for (const LedgerIndex index : kLedgerIndexes) {
    const Sum& expected = sums[static_cast<size_t>(index)];
    if (const auto rows = ledger.rows_through(index)) {
      if (*rows != expected.rows) return std::string(to_string(index));
      continue;
    }
    uint64_t sum = 0;
    const bool there = ledger.read_index(index, [&](const LedgerReader::IndexEntry& entry) {
      sum += hash(entry.id, entry.kind, entry.run_id, entry.step);
    });
    if (there && sum != expected.hashes) return std::string(to_string(index));
  }
  return "";
}

}  // namespace sotto::accountants

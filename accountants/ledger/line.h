#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "accountants/ledger/backend.h"

namespace sotto::accountants {

// A row as the file has it, and what can be seen of it without the rows before. The texts are the caller's.
struct Line {
  int64_t id;
  std::string_view payload, hash;
  std::optional<std::string_view> signature;
  std::optional<LedgerReader::Columns> columns;

  bool hash_holds;  // hash is SHA-256 of the payload
  // The payload is a charge, written as the ledger writes one; then the rest is filled in. Anything else, right or
  // wrong, is for a JSON reader.
  bool plain_charge;
  int64_t said_id, first_step, last_step;
  double epsilon;
  std::string_view at, by, previous, run_id;  // `by` is empty in a row without a signature
  bool columns_hold;                          // they say what the payload says, or there are none
};

// Fills in what follows `columns`. Reads nothing but the line, so lines may be inspected on several threads.
void inspect(Line& line);

}  // namespace sotto::accountants

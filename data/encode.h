#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/schema.h"
#include "data/select.h"
#include "data/table.h"

namespace sotto::data {

// numbers: one float a feature; a numeric column gives one (and, with a missing level, an indicator after it), any
// other one a level except its reference: the column's weight where the row has the level, else 0. tokens: one id a
// column out of one joint vocabulary, column after column: a numeric column's bins (and its missing level), or the
// levels.
enum class Encoding { numbers, tokens };

struct EncodedTable {
  int64_t rows = 0, columns = 0;           // columns: of `features` or of `tokens`
  std::vector<float> features;             // row-major [rows, columns]; empty for tokens
  std::vector<int64_t> tokens;             // row-major [rows, columns]; empty for numbers
  std::vector<int64_t> labels;             // 0 or 1; empty for every_row
  std::vector<std::string> units;          // ids; empty when every_row's file has none
  std::vector<int64_t> lines;              // where each row stands in the file
  std::vector<std::string> feature_names;  // of `columns`
  int64_t vocabulary = 0;                  // number of token ids; 0 for numbers
  LoadReport report;
};

// A row's encoding is a function of that row and the schema alone: no statistic of the data enters it. What a level
// or a bucket is: a categorical cell's place in the public list, else OTHER; a hashed cell's first 8 bytes of
// SHA-256(cell), big-endian, modulo the number of buckets; a grouped cell's group.
EncodedTable encode(const Schema& schema, const Table& table, Split split, Encoding encoding = Encoding::numbers);

// Reads the file as the schema says and encodes the split.
EncodedTable load(const Schema& schema, const std::filesystem::path& path, Split split,
                  Encoding encoding = Encoding::numbers);

// What the columns of an encoding are called, in order, known before any data is read: "age", "race=Asian", …; for
// tokens the columns' names. And how many token ids there are.
std::vector<std::string> feature_names(const Schema& schema, Encoding encoding = Encoding::numbers);
int64_t vocabulary(const Schema& schema);

}  // namespace sotto::data

#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/grouping.h"
#include "data/split.h"
#include "data/table.h"

namespace sotto {
class Settings;
}

namespace sotto::data {

enum class ColumnKind { numeric, categorical, hashed, grouped };

// What a missing cell becomes: a bad row, a level (an indicator beside a number) of its own, or the level OTHER.
enum class Missing { refuse, level, other };

// One column that the model sees. Ranges and levels are public: each cites its source, none is read off the data.
struct Column {
  std::string name;
  ColumnKind kind;
  std::string source;
  Missing missing = Missing::refuse;

  // numeric: x -> scale_low + (scale_high - scale_low) (t(c) - t(low)) / (t(high) - t(low)), where c is x clamped to
  // [low, high] and t is log(1 + ·) or the identity. A missing one becomes 0.
  double low = 0, high = 1, scale_low = -1, scale_high = 1;
  bool log1p = false;
  bool midpoint = false;  // also reads "[70-80)", as 75
  int64_t bins = 0;       // of equal width in the scaled value; what a token distinguishes

  // The others: the level names in order, with OTHER and MISSING where the kind has them. A categorical's public levels
  // come first, a hashed column's buckets are #0, #1, …, a grouped column's groups come in their table's order.
  std::vector<std::string> levels;
  int64_t other = -1, missing_level = -1;  // their places in `levels`, -1 without one
  int64_t reference = -1;                  // the level that is all zeros in one-hot form, -1 for none
  double weight = 1;                       // what stands for 1 in one-hot form
  int64_t buckets = 0;
  Grouping grouping;
};

struct Unit {
  std::string column, name;  // "patient_nbr", "patient"
  int64_t public_size = 0;   // declared number of training units; 0 when undeclared. Never counted from the data.
  std::string public_size_source;
  int64_t max_records = 1;  // of a unit that are used: its first ones in file order
};

struct Label {
  std::string column;
  std::vector<std::string> positive, negative;
};

struct Exclusion {
  std::string column;
  std::vector<std::string> values;
  std::string reason;
};

// More bad rows than count + fraction · rows are refused.
struct BadRowLimit {
  int64_t count = 0;
  double fraction = 0;
};

struct Schema {
  std::string name, description, licence, citation;
  double row_norm = 0;       // numbers: each row is scaled to this L2 norm; 0 leaves it as it is
  bool public_file = false;  // whether the data set's own hash may appear in a certificate
  TableFormat format;
  std::vector<std::string> missing;  // cells that mean "missing"
  Unit unit;
  Label label;
  SplitRule split;
  BadRowLimit bad_rows;
  std::vector<Exclusion> exclude;
  std::vector<Column> columns;

  std::string toml;  // the schema with sorted keys: what a model carries, and what parse() reads back
  std::string hash;  // SHA-256 of `toml`, in hexadecimal

  // Each throws configuration with key, file, line and the way out. docs/data.md describes the file.
  static Schema read(const std::filesystem::path& path);
  static Schema parse(const std::string& toml, const std::string& source_name);
  static Schema from(const Settings& settings);

  bool is_missing(std::string_view cell) const;
};

}  // namespace sotto::data

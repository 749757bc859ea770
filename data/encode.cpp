#include "data/encode.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "base/hash.h"
#include "data/number.h"

namespace sotto::data {
namespace {

int64_t levels_of(const Column& column) {
  if (column.kind != ColumnKind::numeric) return static_cast<int64_t>(column.levels.size());
  return column.bins + (column.missing == Missing::level);
}

int64_t hash_bucket(std::string_view cell, int64_t buckets) {
  const Digest digest = sha256(cell);
  uint64_t word = 0;
  for (int i = 0; i < 8; ++i) word = word << 8 | digest[i];
  return static_cast<int64_t>(word % static_cast<uint64_t>(buckets));
}

// One column of the table as the schema reads it.
class ColumnReader {
 public:
  ColumnReader(const Schema& schema, const Column& column, const TextColumn& cells)
      : schema_(schema), column_(column), cells_(cells) {
    for (size_t level = 0; level < column.levels.size(); ++level)
      if (static_cast<int64_t>(level) != column.other && static_cast<int64_t>(level) != column.missing_level)
        places_[column.levels[level]] = static_cast<int64_t>(level);
  }

  const Column& column() const { return column_; }
  bool is_missing(int64_t row) const { return cells_.is_null(row) || schema_.is_missing(cells_.cell(row)); }

  // Where the value lies in the public range, from 0 to 1.
  double fraction(int64_t row, LoadReport& report) const {
    const double value = *parse_number(cells_.cell(row), column_.midpoint);  // select_rows() has seen that it is one
    const double clamped = std::clamp(value, column_.low, column_.high);
    report.clamped += clamped != value;
    if (!column_.log1p) return (clamped - column_.low) / (column_.high - column_.low);
    return (std::log1p(clamped) - std::log1p(column_.low)) / (std::log1p(column_.high) - std::log1p(column_.low));
  }

  int64_t level(int64_t row, LoadReport& report) {
    if (is_missing(row)) return column_.missing_level >= 0 ? column_.missing_level : column_.other;
    const std::string_view cell = cells_.cell(row);
    const int64_t level = column_.kind == ColumnKind::categorical ? place(cell) : remembered(cell);
    report.unseen += level == column_.other;
    return level;
  }

 private:
  int64_t place(std::string_view cell) const {
    const auto found = places_.find(cell);
    return found == places_.end() ? column_.other : found->second;
  }
  // Hashing and grouping cost more than a look-up, and columns repeat their cells.
  int64_t remembered(std::string_view cell) {
    const auto [entry, fresh] = seen_.try_emplace(cell, 0);
    if (fresh)
      entry->second = column_.kind == ColumnKind::hashed ? hash_bucket(cell, column_.buckets)
                                                         : static_cast<int64_t>(column_.grouping.find(cell));
    return entry->second;
  }

  const Schema& schema_;
  const Column& column_;
  const TextColumn& cells_;
  std::unordered_map<std::string_view, int64_t> places_, seen_;
};

// Writes one column of one row and returns where the next column begins.
float* write_features(ColumnReader& reader, int64_t row, float* out, LoadReport& report) {
  const Column& column = reader.column();
  if (column.kind == ColumnKind::numeric) {
    const bool missing = reader.is_missing(row);
    if (!missing)
      *out =
          static_cast<float>(column.scale_low + (column.scale_high - column.scale_low) * reader.fraction(row, report));
    if (column.missing == Missing::level) *++out = missing;
    return out + 1;
  }
  const int64_t level = reader.level(row, report);
  const bool shifted = column.reference >= 0;
  if (level != column.reference) out[level - (shifted && level > column.reference)] = static_cast<float>(column.weight);
  return out + levels_of(column) - shifted;
}

int64_t token(ColumnReader& reader, int64_t row, LoadReport& report) {
  const Column& column = reader.column();
  if (column.kind != ColumnKind::numeric) return reader.level(row, report);
  if (reader.is_missing(row)) return column.bins;
  const double place = reader.fraction(row, report) * static_cast<double>(column.bins);
  return std::min(static_cast<int64_t>(place), column.bins - 1);
}

// Scales a row to the norm; a row of zeros stays one. With equal norms, clipping weighs all rows of a class alike.
void scale_row(float* row, int64_t columns, double norm) {
  double square = 0;
  for (int64_t j = 0; j < columns; ++j) square += double(row[j]) * row[j];
  if (square == 0) return;
  const auto scale = static_cast<float>(norm / std::sqrt(square));
  for (int64_t j = 0; j < columns; ++j) row[j] *= scale;
}

}  // namespace

EncodedTable encode(const Schema& schema, const Table& table, Split split, Encoding encoding) {
  Selection selection = select_rows(schema, table, split);
  EncodedTable out;
  out.report = std::move(selection.report);
  out.labels = std::move(selection.labels);
  out.feature_names = feature_names(schema, encoding);
  out.rows = static_cast<int64_t>(selection.rows.size());
  out.columns = static_cast<int64_t>(out.feature_names.size());
  const TextColumn* units = table.find(schema.unit.column);
  for (const int64_t row : selection.rows) {
    out.lines.push_back(table.lines[row]);
    if (units) out.units.emplace_back(units->cell(row));
  }

  std::vector<ColumnReader> readers;
  for (const Column& column : schema.columns) readers.emplace_back(schema, column, *table.find(column.name));
  if (encoding == Encoding::tokens) {
    out.vocabulary = vocabulary(schema);
    for (const int64_t row : selection.rows) {
      int64_t first = 0;
      for (ColumnReader& reader : readers) {
        out.tokens.push_back(first + token(reader, row, out.report));
        first += levels_of(reader.column());
      }
    }
    return out;
  }
  out.features.assign(static_cast<size_t>(out.rows * out.columns), 0.0f);
  float* next = out.features.data();
  for (const int64_t row : selection.rows) {
    float* const begin = next;
    for (ColumnReader& reader : readers) next = write_features(reader, row, next, out.report);
    if (schema.row_norm > 0) scale_row(begin, out.columns, schema.row_norm);
  }
  return out;
}

EncodedTable load(const Schema& schema, const std::filesystem::path& path, Split split, Encoding encoding) {
  const Table table = read_table(path, schema.format, required_columns(schema, split), optional_columns(schema, split));
  return encode(schema, table, split, encoding);
}

std::vector<std::string> feature_names(const Schema& schema, Encoding encoding) {
  std::vector<std::string> names;
  for (const Column& column : schema.columns) {
    if (encoding == Encoding::tokens || column.kind == ColumnKind::numeric) names.push_back(column.name);
    if (encoding == Encoding::tokens) continue;
    if (column.kind == ColumnKind::numeric && column.missing == Missing::level)
      names.push_back(column.name + "=MISSING");
    for (size_t level = 0; level < column.levels.size(); ++level)
      if (static_cast<int64_t>(level) != column.reference) names.push_back(column.name + "=" + column.levels[level]);
  }
  return names;
}

int64_t vocabulary(const Schema& schema) {
  int64_t ids = 0;
  for (const Column& column : schema.columns) ids += levels_of(column);
  return ids;
}

}  // namespace sotto::data

#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace sotto::data {

// How a file is laid out. `automatic` tells Parquet, gzip and plain CSV apart by their first bytes.
struct TableFormat {
  enum class Kind { automatic, csv, parquet };
  Kind kind = Kind::automatic;
  char delimiter = ',';
  std::vector<std::string> names;  // of the columns in file order, for a CSV file without a header; else empty
};

// The cells of a column as text, exactly as in the file. Parquet's numbers are written so that they read back exactly.
class TextColumn {
 public:
  explicit TextColumn(std::string name) : name_(std::move(name)) {}
  const std::string& name() const { return name_; }
  std::string_view cell(int64_t row) const {
    const int64_t begin = row == 0 ? 0 : ends_[row - 1];
    return {bytes_.data() + begin, static_cast<size_t>(ends_[row] - begin)};
  }
  bool is_null(int64_t row) const { return !null_.empty() && null_[row]; }  // only Parquet has nulls

  void reserve(int64_t rows, int64_t bytes);
  void append(std::string_view cell);
  void append_null();

 private:
  std::string name_, bytes_;
  std::vector<int64_t> ends_;
  std::vector<bool> null_;  // empty until the first null
};

struct BadRow {
  int64_t line;
  std::string reason;  // names the column, never the cell: what is in a record must not travel into a log
};

struct Table {
  std::filesystem::path path;
  std::vector<TextColumn> columns;
  std::vector<int64_t> lines;  // of each row: the line of the CSV file (its header is line 1), or Parquet's row from 1
  std::vector<BadRow> bad_rows;  // rows with a wrong number of fields; they are not in `columns`

  int64_t rows() const { return static_cast<int64_t>(lines.size()); }
  const TextColumn* find(std::string_view name) const;  // nullptr when it was optional and the file lacks it
};

// Reads the `required` columns and those of the `optional` ones that are there. CSV may be gzipped, have CRLF or LF
// line ends, a byte order mark, quoted fields, and blank lines (every field empty), which count as lines and nothing
// else. A line break inside a quoted field is refused: it cannot be told from a quote that is never closed. No text is
// turned into null: "NA", "None" and "" stay what they are. Throws io when the file cannot be opened and data, with the
// path, when it is empty, broken, has no rows, lacks a required column (naming the nearest one) or holds one of a type
// that is neither text, number nor boolean.
Table read_table(const std::filesystem::path& path, const TableFormat& format, const std::vector<std::string>& required,
                 const std::vector<std::string>& optional = {});

}  // namespace sotto::data

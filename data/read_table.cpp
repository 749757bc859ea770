#include <arrow/api.h>
#include <arrow/csv/api.h>
#include <arrow/io/api.h>
#include <arrow/util/compression.h>
#include <parquet/arrow/reader.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <set>
#include <type_traits>

#include "base/error.h"
#include "base/nearest.h"
#include "data/table.h"

namespace sotto::data {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorKind::data, cat(path.string(), ": ", what));
}

template <class T>
T need(arrow::Result<T> result, const std::filesystem::path& path, const std::string& what) {
  if (!result.ok()) refuse(path, cat(what, " (", result.status().message(), ")"));
  return std::move(result).ValueUnsafe();
}

std::string first_bytes(arrow::io::RandomAccessFile& file, const std::filesystem::path& path) {
  const auto buffer = need(file.Read(4), path, "cannot be read");
  if (!file.Seek(0).ok()) refuse(path, "cannot be read twice, as a pipe; save it as a file first");
  return buffer->ToString();
}

// Arrow would let a quote that is never closed swallow the lines after it.
[[noreturn]] void refuse_line_break(const std::filesystem::path& path, int64_t line) {
  refuse(path, cat("line ", line,
                   ": a quoted field holds a line break, or its quote is never closed; sotto reads one row "
                   "a line. Remove the break, or save the table as Parquet."));
}

// The rows with a wrong number of fields, which Arrow leaves out.
struct LeftOut {
  std::vector<BadRow> bad;
  std::set<int64_t> lines;
  int64_t broken_line = 0;  // the first that is more than one line of the file

  arrow::csv::InvalidRowResult operator()(const arrow::csv::InvalidRow& row) {
    lines.insert(row.number);
    bad.push_back({row.number, cat(row.actual_columns, " fields instead of ", row.expected_columns)});
    const std::string_view text = row.text.substr(0, row.text.find_last_not_of("\r\n") + 1);
    if (broken_line == 0 && text.find('\n') != text.npos) broken_line = row.number;
    return arrow::csv::InvalidRowResult::Skip;
  }
};

std::shared_ptr<arrow::Table> read_csv(std::shared_ptr<arrow::io::InputStream> input, const TableFormat& format,
                                       const std::vector<std::string>& names, LeftOut& left_out,
                                       const std::filesystem::path& path) {
  auto read = arrow::csv::ReadOptions::Defaults();
  read.use_threads = false;  // only then does Arrow know the line of a row that it leaves out
  read.column_names = format.names;
  auto parse = arrow::csv::ParseOptions::Defaults();
  parse.delimiter = format.delimiter;
  parse.ignore_empty_lines = false;  // else they would not be counted as lines; number_lines() takes them out
  parse.invalid_row_handler = [&](const arrow::csv::InvalidRow& row) { return left_out(row); };
  auto convert = arrow::csv::ConvertOptions::Defaults();
  convert.strings_can_be_null = convert.quoted_strings_can_be_null = false;
  for (const std::string& name : names) convert.column_types[name] = arrow::binary();  // bytes as they are
  const std::string what = "cannot be read as CSV; see that it is whole";
  const auto reader =
      need(arrow::csv::TableReader::Make(arrow::io::default_io_context(), std::move(input), read, parse, convert), path,
           what);
  auto table = reader->Read();
  // What Arrow says of a header without a line end; with one it gives a table without rows.
  if (table.status().message().find("Empty CSV file") != std::string::npos) refuse(path, "a header, but no rows");
  auto content = need(std::move(table), path, what);
  if (left_out.broken_line > 0) refuse_line_break(path, left_out.broken_line);
  return content;
}

std::shared_ptr<arrow::Table> read_parquet(std::shared_ptr<arrow::io::RandomAccessFile> file,
                                           const std::filesystem::path& path, const std::vector<std::string>& names) {
  const std::string what = "cannot be read as Parquet; see that it is whole";
  const auto reader = need(parquet::arrow::OpenFile(std::move(file), arrow::default_memory_pool()), path, what);
  std::shared_ptr<arrow::Schema> schema;
  if (const auto status = reader->GetSchema(&schema); !status.ok())
    refuse(path, cat(what, " (", status.message(), ")"));
  for (const std::string& name : names)
    if (const auto field = schema->GetFieldByName(name); field && field->type()->num_fields() > 0)
      refuse(path, cat("column ", name, " is of type ", field->type()->ToString(),
                       "; sotto reads text, numbers and booleans, one a row"));
  return need(reader->ReadTable(), path, what);
}

template <class Value>
void append_value(TextColumn& column, Value value) {
  if constexpr (std::is_same_v<Value, std::string_view>)
    return column.append(value);
  else if constexpr (std::is_same_v<Value, bool>)
    return column.append(value ? "true" : "false");
  else {
    char text[32];
    column.append({text, std::to_chars(text, text + sizeof text, value).ptr});
  }
}

// False when the array is not of this type.
template <class Type>
bool append_if(TextColumn& column, const arrow::Array& array) {
  if (array.type_id() != Type::type_id) return false;
  const auto& values = static_cast<const typename arrow::TypeTraits<Type>::ArrayType&>(array);
  for (int64_t i = 0; i < array.length(); ++i)
    array.IsNull(i) ? column.append_null() : append_value(column, values.GetView(i));
  return true;
}

template <class... Types>
bool append_one_of(TextColumn& column, const arrow::Array& array) {
  return (append_if<Types>(column, array) || ...);
}

bool append_array(TextColumn& column, const arrow::Array& array) {
  return append_one_of<arrow::BinaryType, arrow::StringType, arrow::LargeBinaryType, arrow::LargeStringType,
                       arrow::BooleanType, arrow::Int8Type, arrow::Int16Type, arrow::Int32Type, arrow::Int64Type,
                       arrow::UInt8Type, arrow::UInt16Type, arrow::UInt32Type, arrow::UInt64Type, arrow::FloatType,
                       arrow::DoubleType>(column, array);
}

// Dictionary-encoded text (what pandas writes for a categorical) is looked up; nothing else needs Arrow's compute part.
bool append_dictionary(TextColumn& column, const arrow::Array& array) {
  const auto& encoded = static_cast<const arrow::DictionaryArray&>(array);
  TextColumn values(column.name());
  if (!append_array(values, *encoded.dictionary())) return false;
  for (int64_t i = 0; i < array.length(); ++i) {
    const int64_t index = array.IsNull(i) ? -1 : encoded.GetValueIndex(i);
    index < 0 || values.is_null(index) ? column.append_null() : column.append(values.cell(index));
  }
  return true;
}

TextColumn to_text(const arrow::ChunkedArray& chunks, const std::string& name, const std::filesystem::path& path) {
  TextColumn column(name);
  column.reserve(chunks.length(), chunks.length() * 4);
  for (const auto& chunk : chunks.chunks()) {
    const bool encoded = chunk->type_id() == arrow::Type::DICTIONARY;
    if (!(encoded ? append_dictionary(column, *chunk) : append_array(column, *chunk)))
      refuse(path, cat("column ", name, " is of type ", chunks.type()->ToString(),
                       "; sotto reads text, numbers and booleans"));
  }
  return column;
}

void append_columns(Table& table, const arrow::Table& file, const std::vector<std::string>& names, bool required) {
  const std::vector<std::string> header = file.ColumnNames();
  for (const std::string& name : names) {
    const auto times = std::count(header.begin(), header.end(), name);
    if (times == 0 && !required) continue;
    const std::string near = nearest(name, header);
    if (times == 0)
      refuse(table.path,
             cat("no column ", name, " among its ", header.size(), " columns",
                 near.empty() ? "" : cat("; the nearest is ", near), ". Correct the file's header or the schema."));
    if (times > 1) refuse(table.path, cat("column ", name, " stands ", times, " times in the header"));
    table.columns.push_back(to_text(*file.GetColumnByName(name), name, table.path));
  }
}

// Calls visit(row, text) for every cell of a CSV file's columns, requested or not. Of a column that nobody asked for,
// and that Arrow took for numbers, the text is gone; "?" stands for it.
template <class Visit>
void visit_cells(const arrow::Table& file, Visit visit) {
  for (const auto& column : file.columns()) {
    int64_t row = 0;
    for (const auto& chunk : column->chunks()) {
      const bool binary = chunk->type_id() == arrow::Type::BINARY, text = chunk->type_id() == arrow::Type::STRING;
      for (int64_t i = 0; i < chunk->length(); ++i, ++row)
        visit(row, chunk->IsNull(i) ? std::string_view()
                   : binary || text ? static_cast<const arrow::BinaryArray&>(*chunk).GetView(i)
                                    : std::string_view("?"));
    }
  }
}

// The line of every row of a CSV file. Rows whose every field is empty are blank lines: they get 0.
std::vector<int64_t> number_lines(const arrow::Table& file, const LeftOut& left_out, int64_t line,
                                  const std::filesystem::path& path) {
  std::vector<bool> blank(static_cast<size_t>(file.num_rows()), true), broken(blank.size(), false);
  visit_cells(file, [&](int64_t row, std::string_view cell) {
    if (!cell.empty()) blank[row] = false;
    if (cell.find('\n') != cell.npos) broken[row] = true;
  });
  std::vector<int64_t> lines(blank.size());
  for (size_t row = 0; row < lines.size(); ++row) {
    while (left_out.lines.count(++line)) continue;
    if (broken[row]) refuse_line_break(path, line);
    lines[row] = blank[row] ? 0 : line;
  }
  return lines;
}

// The table without the rows of line 0.
std::shared_ptr<arrow::Table> without_blank(const std::shared_ptr<arrow::Table>& file, std::vector<int64_t>& lines) {
  std::vector<std::shared_ptr<arrow::Table>> runs{file->Slice(0, 0)};
  const int64_t rows = file->num_rows();
  for (int64_t first = 0, end = 0; first < rows; first = end + 1) {
    for (end = first; end < rows && lines[end] > 0;) ++end;
    runs.push_back(file->Slice(first, end - first));
  }
  std::erase(lines, 0);
  return *arrow::ConcatenateTables(runs);
}

}  // namespace

Table read_table(const std::filesystem::path& path, const TableFormat& format, const std::vector<std::string>& required,
                 const std::vector<std::string>& optional) {
  auto opened = arrow::io::ReadableFile::Open(path.string());
  if (!opened.ok() || std::filesystem::is_directory(path))
    throw Error(ErrorKind::io, cat("cannot read ", path.string(), "; check that it exists and is a readable file"));
  const std::shared_ptr<arrow::io::ReadableFile> file = *opened;
  const std::string magic = first_bytes(*file, path);
  if (magic.empty()) refuse(path, "the file is empty; a header line and at least one row are needed");
  const bool parquet = magic == "PAR1";
  if (format.kind == TableFormat::Kind::parquet && !parquet) refuse(path, "the schema says Parquet, the file is not");
  if (format.kind == TableFormat::Kind::csv && parquet) refuse(path, "the schema says CSV, the file is Parquet");

  std::vector<std::string> names = required;
  names.insert(names.end(), optional.begin(), optional.end());
  Table table{path, {}, {}, {}};
  std::shared_ptr<arrow::Table> content;
  if (parquet) {
    content = read_parquet(file, path, names);
    table.lines.resize(static_cast<size_t>(content->num_rows()));
    std::iota(table.lines.begin(), table.lines.end(), int64_t{1});
  } else {
    std::shared_ptr<arrow::io::InputStream> input = file;
    std::shared_ptr<arrow::util::Codec> codec;
    if (magic.starts_with("\x1f\x8b")) {
      codec = need(arrow::util::Codec::Create(arrow::Compression::GZIP), path, "cannot be unpacked");
      input = need(arrow::io::CompressedInputStream::Make(codec.get(), file), path, "cannot be unpacked");
    }
    LeftOut left_out;
    content = read_csv(std::move(input), format, names, left_out, path);
    table.lines = number_lines(*content, left_out, format.names.empty() ? 1 : 0, path);  // the header is line 1
    content = without_blank(content, table.lines);
    table.bad_rows = std::move(left_out.bad);
  }
  append_columns(table, *content, required, true);
  append_columns(table, *content, optional, false);
  if (table.lines.empty() && table.bad_rows.empty()) refuse(path, "a header, but no rows");
  return table;
}

}  // namespace sotto::data

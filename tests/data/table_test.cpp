#include "data/table.h"

#include "tests/data/fixtures.h"

namespace sotto::data {
namespace {

Table read_text(const std::string& content, const std::vector<std::string>& required, TableFormat format = {}) {
  const Folder folder;
  return read_table(folder.write("t.csv", content), format, required);
}

std::vector<std::string> cells(const Table& table, const char* name) {
  std::vector<std::string> out;
  for (int64_t row = 0; row < table.rows(); ++row) out.emplace_back(table.find(name)->cell(row));
  return out;
}

using Texts = std::vector<std::string>;

TEST(Table, LineEndsByteOrderMarkAndQuotesDoNotMatter) {
  for (const char* text : {"a,b\n1,x\n2,y\n", "a,b\r\n1,x\r\n2,y\r\n", "a,b\n1,x\n2,y",
                           "\xEF\xBB\xBF"
                           "a,b\n1,x\n2,y\n",
                           "\"a\",\"b\"\n\"1\",\"x\"\n2,\"y\"\n", "a,b\r\n\r\n1,x\r\n,\r\n2,y\r\n\r\n"}) {
    const Table table = read_text(text, {"a", "b"});
    EXPECT_EQ(cells(table, "a"), (Texts{"1", "2"})) << text;
    EXPECT_EQ(cells(table, "b"), (Texts{"x", "y"})) << text;
    EXPECT_TRUE(table.bad_rows.empty()) << text;
  }
}

TEST(Table, CellsStayTheTextTheyAre) {
  const Texts texts{"None", "NA", "", "?", "null", "NaN", "007", "1e3", "a,b", "say \"x\"", " 5 ", "\xFF\xFE"};
  std::string csv = "a,b\n";
  for (const std::string& text : texts) {
    std::string quoted = text;
    replace_all(quoted, "\"", "\"\"");
    csv += "1,\"" + quoted + "\"\n";
  }
  const Table table = read_text(csv, {"b"});
  EXPECT_EQ(cells(table, "b"), texts);
  for (int64_t row = 0; row < table.rows(); ++row) EXPECT_FALSE(table.columns[0].is_null(row));
}

TEST(Table, ARowIsBlankOnlyIfEveryFieldOfItIs) {
  const Table table = read_text("a,b,c\n,,\n,5,\n,,x\n1,2,3\n,,\n", {"a"});
  EXPECT_EQ(table.lines, (std::vector<int64_t>{3, 4, 5}));
  EXPECT_EQ(cells(table, "a"), (Texts{"", "", "1"}));
}

TEST(Table, RowsOfAWrongWidthAreLeftOutByLine) {
  const Table table = read_text("a,b\n1,x\n2\n\n3,y\n4,z,extra\n5,w\n", {"a", "b"});
  EXPECT_EQ(cells(table, "a"), (Texts{"1", "3", "5"}));
  EXPECT_EQ(table.lines, (std::vector<int64_t>{2, 5, 7}));
  ASSERT_EQ(table.bad_rows.size(), 2u);
  EXPECT_EQ(table.bad_rows[0].line, 3);
  EXPECT_EQ(table.bad_rows[0].reason, "1 fields instead of 2");
  EXPECT_EQ(table.bad_rows[1].line, 6);
}

// Arrow reads in blocks of 1 MiB; a line must not lose count at their borders.
TEST(Table, LinesAreRightFarIntoALargeFile) {
  std::string csv = "a,b\n";
  for (int line = 2; line <= 300000; ++line) csv += line % 1000 == 0 ? "short\n" : cat(line, ",0123456789\n");
  const Table table = read_text(csv, {"a"});
  EXPECT_EQ(table.bad_rows.size(), 300u);
  EXPECT_EQ(table.bad_rows.back().line, 300000);
  for (int64_t row = 0; row < table.rows(); ++row)
    ASSERT_EQ(std::to_string(table.lines[row]), table.columns[0].cell(row));
}

TEST(Table, OtherDelimitersAndHeaderlessFiles) {
  TableFormat format;
  format.delimiter = ';';
  format.names = {"a", "b"};
  const Table table = read_text("1;x\n2;y\n", {"b"}, format);
  EXPECT_EQ(cells(table, "b"), (Texts{"x", "y"}));
  EXPECT_EQ(table.lines, (std::vector<int64_t>{1, 2}));
}

TEST(Table, GzipAndParquetHoldWhatPlainCsvHolds) {
  const Texts names{"id", "age", "days", "weight", "sex", "code", "test", "back"};
  const Table plain = read_table(kFiles / "patients.csv", {}, names);
  ASSERT_EQ(plain.rows(), 60);
  for (const char* other : {"patients.csv.gz", "patients.parquet"}) {
    const Table table = read_table(kFiles / other, {}, names);
    ASSERT_EQ(table.rows(), 60);
    for (const std::string& name : names)
      for (int64_t row = 0; row < 60; ++row) {
        const std::string_view want = plain.find(name)->cell(row);
        const TextColumn& column = *table.find(name);
        EXPECT_EQ(column.is_null(row) ? "?" : column.cell(row), want) << other << " " << name << " " << row;
      }
  }
}

TEST(Table, EveryBrokenFileIsNamedWithItsFault) {
  const Folder folder;
  const std::string gz = read_file(kFiles / "patients.csv.gz"), parquet = read_file(kFiles / "patients.parquet");
  std::string flipped = gz;
  flipped[flipped.size() / 2] ^= 0x55;
  std::string huge_header = gz.substr(0, 12);
  struct Case {
    std::string name, content, says;
    Texts required;
  };
  for (const Case& c : std::vector<Case>{
           {"empty.csv", "", "the file is empty", {"a"}},
           {"blank.csv", "\n\n", "blank.csv", {"a"}},
           {"header.csv", "a,b\n", "a header, but no rows", {"a"}},
           {"header_only.csv", "a,b", "a header, but no rows", {"a"}},
           {"misspelt.csv",
            "patient_nr,b\n1,2\n",
            "no column patient_nbr among its 2 columns; the nearest is patient_nr",
            {"patient_nbr"}},
           {"unlike.csv", "x,y\n1,2\n", "no column patient_nbr among its 2 columns. Correct", {"patient_nbr"}},
           {"twice.csv", "a,a\n1,2\n", "column a stands 2 times", {"a"}},
           {"cut.csv.gz", gz.substr(0, gz.size() / 2), "cannot be read as CSV; see that it is whole", {"id"}},
           {"flipped.csv.gz", flipped, "cannot be read as CSV; see that it is whole", {"id"}},
           {"stub.csv.gz", huge_header, "cannot be read as CSV", {"id"}},
           {"cut.parquet",
            parquet.substr(0, parquet.size() / 2),
            "cannot be read as Parquet; see that it is whole",
            {"id"}},
           {"quote.csv", "a,b\n0,w\n1,\"x\n2,y\n", "line 3: a quoted field holds a line break", {"a"}},
           {"unread.csv", "a,b\n0,w\n1,\"x\n2,y\"\n", "line 3: a quoted field holds a line break", {"a"}},
           {"swallowed.csv", "a,b\n0,w\n\"1,x\n2,y\n", "line 3: a quoted field holds a line break", {"a"}}}) {
    const auto path = folder.write(c.name, c.content);
    const std::string message = message_of(ErrorKind::data, [&] { read_table(path, {}, c.required); });
    EXPECT_NE(message.find(c.says), message.npos) << c.name << ": " << message;
    EXPECT_NE(message.find(c.name), message.npos) << message;
  }
}

TEST(Table, AFileThatIsNotThereIsAnIoError) {
  const std::string message = message_of(ErrorKind::io, [] { read_table("/no/such/file.csv", {}, {"a"}); });
  EXPECT_NE(message.find("cannot read /no/such/file.csv; check that it exists"), message.npos) << message;
  message_of(ErrorKind::io, [] { read_table("/tmp", {}, {"a"}); });
}

TEST(Table, ParquetColumnsOfOtherTypesAreRefusedByName) {
  for (const auto& [file, type] :
       {std::pair{"list_column.parquet", "list"}, {"timestamp_column.parquet", "timestamp"}}) {
    const std::string message = message_of(ErrorKind::data, [&] { read_table(kFiles / file, {}, {"id", "days"}); });
    EXPECT_NE(message.find(cat("column days is of type ", type)), message.npos) << message;
    EXPECT_NE(message.find("sotto reads text, numbers and booleans"), message.npos) << message;
    EXPECT_EQ(read_table(kFiles / file, {}, {"id"}).rows(), 60) << "a column nobody asked for does no harm";
  }
}

TEST(Table, TheSchemasFormatMustBeTheFiles) {
  TableFormat csv, parquet;
  csv.kind = TableFormat::Kind::csv;
  parquet.kind = TableFormat::Kind::parquet;
  message_of(ErrorKind::data, [&] { read_table(kFiles / "patients.parquet", csv, {"id"}); });
  message_of(ErrorKind::data, [&] { read_table(kFiles / "patients.csv", parquet, {"id"}); });
}

}  // namespace
}  // namespace sotto::data

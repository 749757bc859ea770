#include "data/select.h"

#include "tests/data/fixtures.h"

namespace sotto::data {
namespace {

using Texts = std::vector<std::string>;

const std::string kExclude =
    "\n[[exclude]]\ncolumn = \"test\"\nvalues = [\"gone\"]\nreason = \"a test\"\n"
    "[[exclude]]\ncolumn = \"ward\"\nvalues = [\"x\", \"y\"]\nreason = \"a test\"\n";

std::string allowing(int64_t count) {
  return kPatients + cat("\n[bad_rows]\nlimit = ", count, "\n");
}

TEST(Select, TheFirstRowInFileOrderOfAUnitIsKept) {
  const EncodedTable table = encode_text(kHeader +
                                         "7,[0-10),1,Male,8,None,yes\n8,[0-10),2,Male,8,None,no\n"
                                         "7,[0-10),3,Male,8,None,no\n8,[0-10),4,Male,8,None,yes\n");
  EXPECT_EQ(table.units, (Texts{"7", "8"}));
  EXPECT_EQ(table.labels, (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(table.lines, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(table.report.dropped_by_unit_rule, 2);
}

TEST(Select, AUnitsFirstRecordsStayTogetherUpToThePublicLimit) {
  std::string several = kPatients;
  replace_all(several, "column = \"id\"", "column = \"id\"\nmax_records = 2");
  const EncodedTable table = encode_text(kHeader +
                                             "7,[0-10),1,Male,8,None,yes\n8,[0-10),2,Male,8,None,no\n"
                                             "7,[0-10),3,Male,8,None,no\n7,[0-10),4,Male,8,None,yes\n"
                                             "8,[0-10),4,Male,8,None,yes\n9,[0-10),4,Male,8,None,no\n",
                                         Split::all, several);
  EXPECT_EQ(table.units, (Texts{"7", "7", "8", "8", "9"}));
  EXPECT_EQ(table.lines, (std::vector<int64_t>{2, 4, 3, 6, 7}));
  EXPECT_EQ(table.labels, (std::vector<int64_t>{1, 0, 0, 1, 0}));
  EXPECT_EQ(table.report.dropped_by_unit_rule, 1);
}

// Patient 7's first stay is excluded, so 7 is gone: the second stay must not step in.
TEST(Select, ExclusionsComeAfterTheUnitRule) {
  const std::string header = "id,age,days,sex,code,test,back,ward\n";
  const EncodedTable table = encode_text(header +
                                             "7,[0-10),1,Male,8,gone,yes,x\n7,[0-10),2,Male,8,None,no,a\n"
                                             "8,[0-10),2,Male,8,None,no,a\n9,[0-10),2,Male,8,None,no,y\n",
                                         Split::all, kPatients + kExclude);
  EXPECT_EQ(table.units, (Texts{"8"}));
  EXPECT_EQ(table.report.excluded, 2);
  EXPECT_EQ(table.report.excluded_by_rule, (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(table.report.dropped_by_unit_rule, 1);
  EXPECT_EQ(table.report.prepared, 1);
}

const std::string kBadRows = kHeader +
                             "1,[0-10),1,Male,8,None,yes\n"
                             "2,[0-10),x,Male,8,None,yes\n"      // 3: not a number
                             "3,[0-10),nan,Male,8,None,yes\n"    // 4: not finite
                             "4,[0-10),1e999,Male,8,None,yes\n"  // 5: overflows
                             "5,[0-10),?,Male,8,None,yes\n"      // 6: missing where refused
                             "?,[0-10),1,Male,8,None,yes\n"      // 7: no unit
                             "6,[0-10),1,Male,8,None,maybe\n"    // 8: unknown label
                             "7,[0-10),1,Male,8,None\n"          // 9: too short
                             "8,0-10,1,Male,8,None,no\n"         // 10: not an interval
                             "9,[0-10),1,Male,8,None,no\n";

TEST(Select, BadRowsAreCountedAndListedByLine) {
  const EncodedTable table = encode_text(kBadRows, Split::all, allowing(8));
  EXPECT_EQ(table.units, (Texts{"1", "9"}));
  EXPECT_EQ(table.lines, (std::vector<int64_t>{2, 11}));
  EXPECT_EQ(table.report.rows_read, 10);
  EXPECT_EQ(table.report.bad_rows, 8);
  const std::vector<BadRow>& bad = table.report.first_bad_rows;
  ASSERT_EQ(bad.size(), 8u);
  const Texts reasons{"days is not a finite number",
                      "days is not a finite number",
                      "days is not a finite number",
                      "days is missing",
                      "id is missing",
                      "back is none of the label's values",
                      "6 fields instead of 7",
                      "age is not a finite number"};
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(bad[i].line, i + 3);
    EXPECT_EQ(bad[i].reason, reasons[i]);
  }
}

TEST(Select, BadRowsAboveTheLimitAreRefusedWithLinesAndWithoutCells) {
  const std::string message = message_of(ErrorKind::data, [] { encode_text(kBadRows, Split::all, allowing(7)); });
  EXPECT_NE(message.find("patients.csv: 8 of 10 rows are bad, 7 are allowed. Correct them, or raise `limit`"),
            message.npos)
      << message;
  EXPECT_NE(message.find("line 3: days is not a finite number"), message.npos) << message;
  EXPECT_EQ(message.find("maybe"), message.npos) << "a message holds no cell of a record";
}

TEST(Select, TheLimitMayBeAFractionOfTheRows) {
  const std::string with = kPatients + "\n[bad_rows]\nlimit_fraction = ";
  EXPECT_EQ(encode_text(kBadRows, Split::all, with + "0.8\n").rows, 2);
  message_of(ErrorKind::data, [&] { encode_text(kBadRows, Split::all, with + "0.79\n"); });
}

TEST(Select, AtMostTwentyBadRowsAreListed) {
  std::string csv = kHeader + "1,[0-10),1,Male,8,None,yes\n";
  for (int i = 0; i < 30; ++i) csv += "2,[0-10),x,Male,8,None,yes\n";
  EXPECT_EQ(encode_text(csv, Split::all, allowing(30)).report.first_bad_rows.size(), 20u);
  const std::string message = message_of(ErrorKind::data, [&] { encode_text(csv); });
  EXPECT_NE(message.find("line 22:"), message.npos) << message;
  EXPECT_EQ(message.find("line 23:"), message.npos) << message;
}

// A column of another type than the schema's is a file full of bad rows: refused even where some are allowed.
TEST(Select, AColumnOfTheWrongTypeIsRefused) {
  const std::string message = message_of(ErrorKind::data, [] {
    encode_text(kHeader + "1,[0-10),one,Male,8,None,yes\n2,[0-10),two,Male,8,None,no\n", Split::all, allowing(1));
  });
  EXPECT_NE(message.find("2 of 2 rows are bad"), message.npos) << message;
  EXPECT_NE(message.find("days is not a finite number"), message.npos) << message;
}

TEST(Select, NonFiniteNumbersOfParquetAreBadRows) {
  std::string weighed =
      kPatients + "[[column]]\nname = \"weight\"\nkind = \"numeric\"\nrange = [0, 200]\nsource = \"a test\"\n";
  const Schema strict = Schema::parse(weighed, "a.toml");
  const std::string message =
      message_of(ErrorKind::data, [&] { load(strict, kFiles / "not_finite.parquet", Split::all); });
  EXPECT_NE(message.find("line 5: weight is not a finite number"), message.npos) << message;
  EXPECT_NE(message.find("line 8: weight is not a finite number"), message.npos) << message;
}

TEST(Select, AFileOfWhichNothingIsLeftIsRefused) {
  const std::string message = message_of(ErrorKind::data, [] {
    encode_text(kHeader + "1,[0-10),1,Male,8,None,yes\n", SplitRule().is_test("1") ? Split::train : Split::test);
  });
  EXPECT_NE(message.find("no row is left of 1"), message.npos) << message;
}

TEST(Select, AMissingLabelOrUnitColumnIsNamed) {
  for (const char* absent : {"back", "id", "days"}) {
    std::string csv = kHeader + "1,[0-10),1,Male,8,None,yes\n";
    csv.replace(csv.find(absent), strlen(absent), "zzzzzzzz");
    const std::string message = message_of(ErrorKind::data, [&] { encode_text(csv); });
    EXPECT_NE(message.find(cat("no column ", absent)), message.npos) << message;
  }
}

TEST(Select, EveryRowNeedsNeitherLabelNorUnitAndKeepsAll) {
  const EncodedTable table = encode_text("age,days,sex,code,test\n[0-10),1,Male,8,gone\n[0-10),1,Male,8,gone\n",
                                         Split::every_row, kPatients + kExclude);
  EXPECT_EQ(table.rows, 2);
  EXPECT_TRUE(table.labels.empty());
  EXPECT_TRUE(table.units.empty());
  EXPECT_EQ(table.lines, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(encode_text(kHeader + "7,[0-10),1,Male,8,None,?\n7,[0-10),1,Male,8,None,?\n", Split::every_row).units,
            (Texts{"7", "7"}));
}

}  // namespace
}  // namespace sotto::data

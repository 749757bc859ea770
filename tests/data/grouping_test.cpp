#include "data/grouping.h"

#include "data/number.h"
#include "data/split.h"
#include "tests/data/fixtures.h"

namespace sotto::data {
namespace {

TEST(Grouping, Icd9CodesFallIntoThePublishedChapters) {
  const Schema schema = Schema::read(kDiabetes / "schema.toml");
  const auto column =
      std::find_if(schema.columns.begin(), schema.columns.end(), [](const Column& c) { return c.name == "diag_1"; });
  ASSERT_NE(column, schema.columns.end());
  for (const auto& [code, group] : std::vector<std::pair<const char*, const char*>>{{"250", "Diabetes"},
                                                                                    {"250.83", "Diabetes"},
                                                                                    {"250.01", "Diabetes"},
                                                                                    {"249", "OTHER"},
                                                                                    {"251", "OTHER"},
                                                                                    {"389.9", "OTHER"},
                                                                                    {"390", "Circulatory"},
                                                                                    {"428", "Circulatory"},
                                                                                    {"459", "Circulatory"},
                                                                                    {"459.81", "Circulatory"},
                                                                                    {"785", "Circulatory"},
                                                                                    {"785.5", "Circulatory"},
                                                                                    {"460", "Respiratory"},
                                                                                    {"519", "Respiratory"},
                                                                                    {"786", "Respiratory"},
                                                                                    {"786.5", "Respiratory"},
                                                                                    {"520", "Digestive"},
                                                                                    {"579.9", "Digestive"},
                                                                                    {"787", "Digestive"},
                                                                                    {"580", "Genitourinary"},
                                                                                    {"629", "Genitourinary"},
                                                                                    {"788", "Genitourinary"},
                                                                                    {"789", "OTHER"},
                                                                                    {"784", "OTHER"},
                                                                                    {"800", "Injury"},
                                                                                    {"999", "Injury"},
                                                                                    {"999.9", "Injury"},
                                                                                    {"710", "Musculoskeletal"},
                                                                                    {"739", "Musculoskeletal"},
                                                                                    {"740", "OTHER"},
                                                                                    {"709.9", "OTHER"},
                                                                                    {"140", "Neoplasms"},
                                                                                    {"239", "Neoplasms"},
                                                                                    {"139", "OTHER"},
                                                                                    {"240", "OTHER"},
                                                                                    {"8", "OTHER"},
                                                                                    {"V57", "OTHER"},
                                                                                    {"V45.81", "OTHER"},
                                                                                    {"E909", "OTHER"},
                                                                                    {"E850", "OTHER"},
                                                                                    {"", "OTHER"},
                                                                                    {"250x", "OTHER"},
                                                                                    {"250.8.3", "OTHER"},
                                                                                    {"-250", "OTHER"},
                                                                                    {"99999999999999999999", "OTHER"}})
    EXPECT_EQ(column->levels[column->grouping.find(code)], group) << code;
}

TEST(Grouping, PrefixesHoldLetteredCodesAndTheFirstGroupWins) {
  const Grouping grouping{"g", "s", {{"V codes", {}, {"V"}}, {"low", {{0, 99}}, {}}, {"all", {{0, 999}}, {"V5"}}}};
  EXPECT_EQ(grouping.find("V57"), 0u);
  EXPECT_EQ(grouping.find("57"), 1u);
  EXPECT_EQ(grouping.find("157"), 2u);
  EXPECT_EQ(grouping.find("E57"), 3u);
}

TEST(Grouping, RangesThatAreNoneAreRefused) {
  EXPECT_EQ(parse_range("390-459", "here").first, 390);
  EXPECT_EQ(parse_range("250", "here").last, 250);
  for (const char* bad : {"", "-", "459-390", "a-b", "250.1", "1-2-3", "-5"})
    EXPECT_NE(message_of(ErrorKind::configuration, [&] { parse_range(bad, "here"); }).find("here"), std::string::npos)
        << bad;
}

TEST(Number, ReadsWholeFiniteNumbersAndIntervalsOnly) {
  for (const auto& [cell, value] : std::vector<std::pair<const char*, double>>{{"5", 5},
                                                                               {" 5 ", 5},
                                                                               {"+5", 5},
                                                                               {"-0.5", -0.5},
                                                                               {"1e3", 1000},
                                                                               {"[70-80)", 75},
                                                                               {"[0-10)", 5},
                                                                               {"(-5-5]", 0}})
    EXPECT_EQ(parse_number(cell, true), value) << cell;
  for (const char* cell : {"", " ", "x", "5x", "1,5", "nan", "NaN", "inf", "-Infinity", "1e999", "0x1F", "[70)",
                           "[80-70)", "[70-80", "[a-b)", "[-]", "5 6", "+-5"})
    EXPECT_FALSE(parse_number(cell, true)) << cell;
  EXPECT_FALSE(parse_number("[70-80)", false));
}

// Known answers: SHA-256("82637451") mod 5 and the like, from Python's hashlib.
TEST(Split, DependsOnTheIdAloneAsPublished) {
  const SplitRule rule;
  for (const char* unit : {"82637451", "63555939", "77391171"}) EXPECT_TRUE(rule.is_test(unit));
  for (const char* unit : {"8222157", "55629189"}) EXPECT_FALSE(rule.is_test(unit));
}

TEST(Split, TrainTestAndValidationPartitionTheUnits) {
  const SplitRule rule;
  int64_t test = 0, validation = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string unit = std::to_string(i);
    test += rule.holds(Split::test, unit);
    validation += rule.holds(Split::validation, unit);
    EXPECT_NE(rule.holds(Split::train, unit), rule.holds(Split::test, unit));
    EXPECT_EQ(rule.holds(Split::train, unit),
              rule.holds(Split::validation, unit) + rule.holds(Split::train_without_validation, unit));
    EXPECT_TRUE(rule.holds(Split::all, unit) && rule.holds(Split::every_row, unit));
  }
  EXPECT_NEAR(test, 4000, 5 * std::sqrt(20000 * 0.16));          // five standard deviations of a fair hash
  EXPECT_NEAR(validation, 3200, 5 * std::sqrt(20000 * 0.1344));  // 0.8 · 0.2 of all
}

}  // namespace
}  // namespace sotto::data

#include "data/encode.h"

#include "base/hash.h"
#include "tests/data/fixtures.h"

namespace sotto::data {
namespace {

using Floats = std::vector<float>;

EncodedTable one(const std::string& row, const std::string& schema = kPatients, Encoding encoding = Encoding::numbers) {
  return encode_text(kHeader + row + "\n", Split::all, schema, encoding);
}

std::vector<std::string> levels_that_are_one(const EncodedTable& table, const std::string& column) {
  std::vector<std::string> out;
  for (int64_t j = 0; j < table.columns; ++j)
    if (table.feature_names[j].starts_with(column + "=") && table.features[j] == 1)
      out.push_back(table.feature_names[j]);
  return out;
}

TEST(Encode, FeaturesAreNamedInTheSchemasOrder) {
  EXPECT_EQ(feature_names(Schema::parse(kPatients, "a.toml")),
            (std::vector<std::string>{"age", "days", "sex=Male", "sex=Female", "sex=OTHER", "sex=MISSING",
                                      "code=Diabetes", "code=Respiratory", "code=OTHER", "code=MISSING", "test=Norm",
                                      "test=OTHER", "test=MISSING"}));
}

TEST(Encode, NumbersAreScaledByThePublicRangeAndClamped) {
  const double log_scale = 2 / std::log1p(9.0);
  for (const auto& [age, days, want_age, want_days, clamped] :
       std::vector<std::tuple<const char*, const char*, double, double, int>>{
           {"40", "0", 0, 0, 0},
           {"0", "9", -1, 2, 0},
           {"80", "1", 1, std::log1p(1.0) * log_scale, 0},
           {"[70-80)", "4", 0.875, std::log1p(4.0) * log_scale, 0},
           {"[90-100)", "10", 1, 2, 2},
           {"-3", "1e9", -1, 2, 2},
           {"81", "-0.5", 1, 0, 2}}) {
    const EncodedTable table = one(cat("1,", age, ",", days, ",Male,8,None,yes"));
    EXPECT_FLOAT_EQ(table.features[0], static_cast<float>(want_age)) << age;
    EXPECT_FLOAT_EQ(table.features[1], static_cast<float>(want_days)) << days;
    EXPECT_EQ(table.report.clamped, clamped) << age << " " << days;
  }
}

TEST(Encode, LevelsMissingOnesAndUnseenOnes) {
  struct Case {
    const char *sex, *test;
    std::vector<std::string> want_sex, want_test;
    int64_t unseen;
  };
  for (const Case& c : std::vector<Case>{{"Male", "Norm", {"sex=Male"}, {"test=Norm"}, 0},
                                         {"Female", "None", {"sex=Female"}, {}, 0},  // the reference is all zeros
                                         {"?", "?", {"sex=MISSING"}, {"test=MISSING"}, 0},
                                         {"X", "none", {"sex=OTHER"}, {"test=OTHER"}, 2},
                                         {"OTHER", "MISSING", {"sex=OTHER"}, {"test=OTHER"}, 2},
                                         {"", "NA", {"sex=OTHER"}, {"test=OTHER"}, 2}}) {
    const EncodedTable table = one(cat("1,[0-10),1,", c.sex, ",250,", c.test, ",yes"));
    EXPECT_EQ(levels_that_are_one(table, "sex"), c.want_sex) << c.sex;
    EXPECT_EQ(levels_that_are_one(table, "test"), c.want_test) << c.test;
    EXPECT_EQ(table.report.unseen, c.unseen) << c.sex;
  }
}

TEST(Encode, CodesBecomeTheirGroup) {
  for (const auto& [code, level] : {std::pair{"250.83", "code=Diabetes"},
                                    {"786.5", "code=Respiratory"},
                                    {"V57", "code=OTHER"},
                                    {"?", "code=MISSING"}})
    EXPECT_EQ(levels_that_are_one(one(cat("1,[0-10),1,Male,", code, ",None,yes")), "code"),
              std::vector<std::string>{level});
}

TEST(Encode, AWeightStandsForOneInEveryFeatureOfItsColumn) {
  std::string schema = kPatients;
  replace_all(schema, "reference = \"None\"", "reference = \"None\"\nweight = 0.25");
  const Floats plain = one("1,0,0,Male,250,Norm,yes").features, light = one("1,0,0,Male,250,Norm,yes", schema).features;
  for (size_t j = 0; j < plain.size(); ++j) EXPECT_EQ(light[j], j >= 10 ? plain[j] / 4 : plain[j]) << j;
  EXPECT_EQ(light[10], 0.25f);
}

TEST(Encode, RowNormScalesEachRowByItself) {
  const std::string schema = "row_norm = 2.5\n" + std::string(kPatients);
  const EncodedTable scaled = one("1,[70-80),4,Male,250,None,yes", schema), plain = one("1,[70-80),4,Male,250,None,yes");
  double square = 0, length = 0;
  for (const float x : scaled.features) square += double(x) * x;
  for (const float x : plain.features) length += double(x) * x;
  EXPECT_NEAR(std::sqrt(square), 2.5, 1e-6);  // a few float roundings
  for (size_t j = 0; j < plain.features.size(); ++j)
    EXPECT_NEAR(scaled.features[j], plain.features[j] * 2.5 / std::sqrt(length), 1e-6) << j;
  EXPECT_THROW(Schema::parse("row_norm = -1\n" + std::string(kPatients), "a.toml"), Error);
}

TEST(Encode, MissingMayBeOtherRefusedOrAnIndicator) {
  std::string schema = kPatients;
  replace_all(schema, "name = \"sex\"\n", "name = \"sex\"\nmissing = \"other\"\n");
  replace_all(schema, "name = \"days\"\n", "name = \"days\"\nmissing = \"level\"\n");
  replace_all(schema, "name = \"code\"\n", "name = \"code\"\nmissing = \"refuse\"\n");
  const EncodedTable table = one("1,[0-10),?,?,250,None,yes", schema);
  EXPECT_EQ(table.feature_names[2], "days=MISSING");
  EXPECT_EQ(table.features[1], 0);
  EXPECT_EQ(table.features[2], 1);
  EXPECT_EQ(levels_that_are_one(table, "sex"), std::vector<std::string>{"sex=OTHER"});
  EXPECT_EQ(levels_that_are_one(one("1,[0-10),3,?,250,None,yes", schema), "days").size(), 0u);
  const std::string message = message_of(ErrorKind::data, [&] { one("1,[0-10),1,Male,?,None,yes", schema); });
  EXPECT_NE(message.find("line 2: code is missing"), message.npos) << message;
}

// Known answers from Python: int.from_bytes(hashlib.sha256(b"…").digest()[:8], "big") % 10.
TEST(Encode, HashBucketsAreTheDocumentedOnes) {
  std::string schema = kPatients;
  replace_all(schema, "name = \"sex\"\nkind = \"categorical\"\nlevels = [\"Male\", \"Female\"]\nsource = \"a test\"",
              "name = \"sex\"\nkind = \"hashed\"\nbuckets = 10");
  for (const auto& [cell, bucket] :
       {std::pair{"Cardiology", "sex=#7"}, {"InternalMedicine", "sex=#6"}, {"", "sex=#2"}, {"?", "sex=MISSING"}})
    EXPECT_EQ(levels_that_are_one(one(cat("1,[0-10),1,", cell, ",250,None,yes"), schema), "sex"),
              std::vector<std::string>{bucket})
        << cell;
}

TEST(Encode, TokensNumberBinsAndLevelsThroughAllColumns) {
  // age has 4 bins (ids 0-3), days 16 (4-19), sex 4 levels (20-23), code 4 (24-27), test 4 (28-31)
  const auto tokens = [](const std::string& row) { return one(row, kPatients, Encoding::tokens).tokens; };
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(tokens("1,0,0,Male,250,None,yes"), (Ids{0, 4, 20, 24, 28}));
  EXPECT_EQ(tokens("1,20,9,Female,460,Norm,yes"), (Ids{1, 19, 21, 25, 29}));
  EXPECT_EQ(tokens("1,80,99,x,V57,x,yes"), (Ids{3, 19, 22, 26, 30}));
  EXPECT_EQ(tokens("1,79.9,0,?,?,?,yes"), (Ids{3, 4, 23, 27, 31}));
  EXPECT_EQ(vocabulary(Schema::parse(kPatients, "a.toml")), 32);
}

TEST(Encode, FormatOfTheFileDoesNotMatter) {
  const Schema schema = Schema::parse(kPatients, "a.toml");
  std::string crlf = read_file(kFiles / "patients.csv");
  replace_all(crlf, "\n", "\r\n");
  const Folder folder;
  const auto with_crlf = folder.write("crlf.csv", crlf);
  const EncodedTable plain = load(schema, kFiles / "patients.csv", Split::all);
  EXPECT_EQ(plain.rows, 50);
  for (const auto& path : {with_crlf, kFiles / "patients.csv.gz", kFiles / "patients.parquet"}) {
    const EncodedTable other = load(schema, path, Split::all);
    EXPECT_EQ(other.features, plain.features) << path;
    EXPECT_EQ(other.labels, plain.labels) << path;
    EXPECT_EQ(other.units, plain.units) << path;
  }
}

// No statistic of the data: whatever happens to one row, every other row keeps its bits.
TEST(Encode, ChangingOneRowChangesThatRowOnly) {
  const auto rows = [](const std::string& third) {
    return encode_text(kHeader + "1,[0-10),1,Male,8,None,yes\n2,[10-20),2,Female,250,Norm,no\n" + third +
                       "\n4,[30-40),4,?,461,?,no\n");
  };
  const EncodedTable before = rows("3,[20-30),3,Male,8,None,yes"), after = rows("3,1e6,1e6,new level,E909,another,no");
  for (const int64_t row : {0, 1, 3}) EXPECT_EQ(row_of(before, row), row_of(after, row)) << row;
  EXPECT_NE(row_of(before, 2), row_of(after, 2));
  const EncodedTable without = encode_text(kHeader + "1,[0-10),1,Male,8,None,yes\n");
  EXPECT_EQ(row_of(without, 0), row_of(before, 0));
}

}  // namespace
}  // namespace sotto::data

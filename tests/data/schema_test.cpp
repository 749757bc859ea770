#include "data/schema.h"

#include "tests/data/fixtures.h"

namespace sotto::data {
namespace {

std::string patients_with(const std::string& from, const std::string& to) {
  std::string text = kPatients;
  const size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Schema, EveryFaultIsNamedWithItsWayOut) {
  struct Case {
    const char *from, *to, *says;
  };
  for (const Case& c : std::vector<Case>{
           {"column = \"id\"", "column = \"id\"\nmax_records = 0", "max_records"},
           {"column = \"id\"", "column = \"id\"\nkeep = \"last\"", "\"last\" is none of first"},
           {"column = \"id\"", "column = \"id\"\npublic_size = 9", "say where in `public_size_source`"},
           {"column = \"id\"", "colunm = \"id\"", "unit.column"},
           {"range = [0, 80]", "", "needs range = [low, high] from a public source"},
           {"range = [0, 80]", "range = [80, 80]", "must be [low, high] with low < high"},
           {"range = [0, 80]", "range = [80]", "must be [low, high]"},
           {"midpoint = true\nsource = \"a test\"", "", "the range must be public: cite where"},
           {"levels = [\"Male\", \"Female\"]\nsource = \"a test\"", "levels = [\"Male\"]",
            "the list of levels must be public"},
           {"\"Female\"]", "\"Male\"]", "levels must differ"},
           {"\"Female\"]", "\"OTHER\"]", "levels must differ"},
           {"transform = \"log1p\"", "transform = \"log\"", "\"log\" is none of log1p, none"},
           {"range = [0, 9]", "range = [-1, 9]", "log1p needs a range above -1"},
           {"reference = \"None\"", "reference = \"Nil\"", "\"Nil\" is not one of the levels"},
           {"reference = \"None\"", "weight = 0", "0 is not positive"},
           {"grouping = \"icd9\"", "grouping = \"icd10\"", "no [[grouping]] is named icd10"},
           {"\"460-519\"", "\"519-460\"", "is not a range of codes"},
           {"positive = [\"yes\"]", "positive = [\"no\"]", "\"no\" is both positive and negative"},
           {"positive = [\"yes\"]", "positive = []", "name the label's positive and negative values"},
           {"name = \"sex\"", "name = \"back\"", "column back has more than one role"},
           {"name = \"sex\"", "name = \"days\"", "column days has more than one role"},
           {"midpoint = true", "midpiont = true", "did you mean"},
           {"kind = \"grouped\"", "kind = \"icd\"", "\"icd\" is none of categorical, grouped, hashed, ignore, numeric"},
           {"kind = \"grouped\"", "kind = \"hashed\"\nbuckets = 1", "1 is less than 2"},
           {"missing = [\"?\"]", "delimiter = \"ab\"", "must be one character"},
           {"missing = [\"?\"]", "header = false", "go together"},
           {"[unit]", "[split]\nmodulus = 5\ntest_remainder = 5\n[unit]", "must be less than modulus"},
           {"[unit]", "[bad_rows]\nlimit_fraction = 1.0\n[unit]", "at least 0 and less than 1"}}) {
    const std::string message =
        message_of(ErrorKind::configuration, [&] { Schema::parse(patients_with(c.from, c.to), "patients.toml"); });
    EXPECT_NE(message.find(c.says), message.npos) << c.to << ": " << message;
    EXPECT_NE(message.find("patients.toml"), message.npos) << message;
  }
}

TEST(Schema, HashIsOfTheMeaningNotOfTheSpelling) {
  const Schema schema = Schema::parse(kPatients, "a.toml");
  EXPECT_EQ(Schema::parse("# a comment\n" + patients_with("range = [0, 80]", "range =   [ 0,80 ]"), "b.toml").hash,
            schema.hash);
  EXPECT_NE(Schema::parse(patients_with("range = [0, 80]", "range = [0, 81]"), "b.toml").hash, schema.hash);
  EXPECT_NE(Schema::parse(patients_with("\"Male\", \"Female\"", "\"Female\", \"Male\""), "b.toml").hash, schema.hash);
}

TEST(Schema, ItsTomlReadsBackAsTheSameSchema) {
  for (const Schema& schema : {Schema::parse(kPatients, "a.toml"), Schema::read(kDiabetes / "schema.toml")}) {
    const Schema again = Schema::parse(schema.toml, "model.toml");
    EXPECT_EQ(again.hash, schema.hash);
    EXPECT_EQ(feature_names(again), feature_names(schema));
    EXPECT_EQ(vocabulary(again), vocabulary(schema));
  }
}

TEST(Schema, OneTableCanDescribeManyColumnsAndIgnoredOnesAreNotRead) {
  const Schema schema = Schema::read(kDiabetes / "schema.toml");
  const auto names = required_columns(schema, Split::train);
  EXPECT_EQ(std::count(names.begin(), names.end(), "insulin"), 1);
  EXPECT_EQ(std::count(names.begin(), names.end(), "weight"), 0);
}

}  // namespace
}  // namespace sotto::data

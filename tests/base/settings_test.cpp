#include "base/settings.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/atomic_file.h"
#include "base/error.h"

namespace sotto {
namespace {

const char* const kReadmission = R"(seed = 7
[privacy]
epsilon = 1.5
delta = 1e-5
unsafe = false
[train]
steps = 400
rates = [0.5, 1, 0.25]
layers = [16, 2]
names = ["a", "b"]
[[columns]]
name = "age"
[[columns]]
name = "sex"
levels = ["F", "M"]
)";

Settings readmission() {
  return Settings::parse_text(kReadmission, "readmission.toml");
}

// The message of the Error that `call` throws; its kind must be configuration.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration);
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

TEST(Settings, ValuesAreReadWithTheirTypes) {
  const Settings settings = readmission();
  EXPECT_EQ(settings.integer("seed"), 7);
  EXPECT_EQ(settings.number("privacy.epsilon"), 1.5);
  EXPECT_EQ(settings.number("privacy.delta"), 1e-5);
  EXPECT_EQ(settings.number("train.steps"), 400.0);
  EXPECT_FALSE(settings.flag("privacy.unsafe"));
  EXPECT_EQ(settings.numbers("train.rates"), (std::vector<double>{0.5, 1, 0.25}));
  EXPECT_EQ(settings.integers("train.layers"), (std::vector<int64_t>{16, 2}));
  EXPECT_EQ(settings.texts("train.names"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(settings.text("columns[1].name"), "sex");
}

TEST(Settings, DefaultsStandInForMissingKeysOnly) {
  const Settings settings = readmission();
  EXPECT_EQ(settings.number("privacy.clip", 2.5), 2.5);
  EXPECT_EQ(settings.number("privacy.epsilon", 2.5), 1.5);
  EXPECT_EQ(settings.integer("train.batch", 32), 32);
  EXPECT_EQ(settings.text("run.dir", "runs/1"), "runs/1");
  EXPECT_TRUE(settings.flag("run.baseline", true));
  EXPECT_EQ(settings.texts("run.tags", {"x"}), std::vector<std::string>{"x"});
  refusal([&] { settings.text("train.steps", "ten"); });  // there, but of another type
}

TEST(Settings, WrongTypeNamesKeyFileLineAndValue) {
  const Settings settings = Settings::parse_text("[privacy]\n\nepsilon = \"x\"\n[a]\nb = 1\n", "r.toml");
  EXPECT_EQ(refusal([&] { settings.number("privacy.epsilon"); }),
            "privacy.epsilon in r.toml line 3 must be a number, got the text \"x\"");
  EXPECT_EQ(refusal([&] { settings.text("a.b"); }), "a.b in r.toml line 5 must be a text, got the integer 1");
  EXPECT_EQ(refusal([&] { settings.flag("a.b"); }), "a.b in r.toml line 5 must be true or false, got the integer 1");
  EXPECT_EQ(refusal([&] { settings.number("a"); }), "a in r.toml line 4 must be a number, got a table");
  EXPECT_EQ(refusal([&] { settings.table("a.b"); }), "a.b in r.toml line 5 must be a table, got the integer 1");
  EXPECT_EQ(refusal([&] { settings.tables("a.b"); }),
            "a.b in r.toml line 5 must be a list of tables, got the integer 1");
  EXPECT_EQ(refusal([&] { settings.number("a.c"); }), "a.c is missing in r.toml; it must be a number");
}

TEST(Settings, NumbersAreNotRoundedIntoAnotherType) {
  const Settings settings =
      Settings::parse_text("half = 2.5\nlarge = 9007199254740993\nlist = [1, 2.5]\ndate = 2024-01-02", "n");
  refusal([&] { settings.integer("half"); });
  refusal([&] { settings.number("large"); });  // 2^53 + 1 is no double
  EXPECT_EQ(settings.integer("large"), 9007199254740993);
  refusal([&] { settings.integers("list"); });
  EXPECT_EQ(refusal([&] { settings.text("date"); }), "date in n line 4 must be a text, got the date 2024-01-02");
}

TEST(Settings, NonFiniteNumbersAreRefusedWhereverTheyStand) {
  for (const char* text :
       {"x = nan", "x = inf", "x = -inf", "x = [1.0, nan]", "x = [[1.0], [inf]]", "[[x]]\ny = nan", "x = {y = inf}"})
    EXPECT_NE(refusal([&] { Settings::parse_text(text, "f.toml"); }).find("must be a finite number"), std::string::npos)
        << text;
  Settings settings = readmission();
  refusal([&] { settings.set("privacy.epsilon=nan"); });
  EXPECT_EQ(settings.number("privacy.epsilon"), 1.5);
}

TEST(Settings, OverridesReplaceAndMakeTables) {
  Settings settings = readmission();
  settings.set("privacy.epsilon=3");
  settings.set("run.dir=runs/demo 1");
  settings.set("run.out.name=\"quoted\"");
  settings.set("train.rates=[1.0]");
  settings.set("columns[1].name=gender");
  settings.set("run.note=a=b");
  settings.set("run.lines=1\nseed = 9");
  settings.set("run.empty=");
  EXPECT_EQ(settings.number("privacy.epsilon"), 3);
  EXPECT_EQ(settings.text("run.dir"), "runs/demo 1");
  EXPECT_EQ(settings.text("run.out.name"), "quoted");
  EXPECT_EQ(settings.numbers("train.rates"), std::vector<double>{1});
  EXPECT_EQ(settings.text("columns[1].name"), "gender");
  EXPECT_EQ(settings.text("run.note"), "a=b");
  EXPECT_EQ(settings.text("run.lines"), "1\nseed = 9");
  EXPECT_EQ(settings.text("run.empty"), "");
  EXPECT_EQ(settings.integer("seed"), 7);
}

TEST(Settings, BadOverridesSayWhatTheyWere) {
  Settings settings = readmission();
  for (const char* wrong : {"", "=3", "epsilon", "seed.x=1", "columns[9].name=x", "columns[0]=x", "a..b=1", ".a=1",
                            "a.=1", "columns[x].name=1", "\"a=1", "columns[=1"})
    EXPECT_FALSE(refusal([&] { settings.set(wrong); }).empty()) << wrong;
  settings.set("privacy.epsilon=much");
  EXPECT_EQ(refusal([&] { settings.number("privacy.epsilon"); }),
            "privacy.epsilon from --set privacy.epsilon=much must be a number, got the text \"much\"");
}

TEST(Settings, UnknownKeysAreErrorsWithTheNearestKnownOne) {
  const Settings settings =
      Settings::parse_text("epsilon = 1\n[privacy]\nepsilno = 1.0\n[[columns]]\nnmae = \"x\"\n[zzz]\n", "r.toml");
  settings.number("privacy.epsilon", 1);
  settings.tables("columns")[0].text("name", "");
  EXPECT_EQ(refusal([&] { settings.reject_unknown(); }),
            "columns[0].nmae in r.toml line 5 is not a known key; did you mean columns[0].name?\n"
            "epsilon in r.toml line 1 is not a known key; did you mean privacy.epsilon?\n"
            "privacy.epsilno in r.toml line 3 is not a known key; did you mean privacy.epsilon?\n"
            "zzz in r.toml line 6 is not a known key");
}

TEST(Settings, KeysAskedForInAnyTableOrCopyAreKnown) {
  const Settings settings = readmission();
  const Settings copy = settings;
  copy.integer("seed");
  const Settings privacy = settings.table("privacy");
  privacy.number("epsilon"), privacy.number("delta"), privacy.has("unsafe");
  const Settings train = settings.table("train");
  train.integer("steps"), train.numbers("rates"), train.integers("layers"), train.texts("names");
  for (const Settings& column : settings.tables("columns")) column.text("name");
  refusal([&] { settings.reject_unknown(); });  // columns[1].levels is left
  settings.tables("columns")[1].texts("levels");
  EXPECT_NO_THROW(settings.reject_unknown());
}

TEST(Settings, MissingTablesAreEmpty) {
  const Settings settings = readmission();
  EXPECT_EQ(settings.table("nowhere").number("x", 4), 4);
  EXPECT_TRUE(settings.table("nowhere").keys().empty());
  EXPECT_TRUE(settings.tables("nowhere").empty());
  EXPECT_EQ(refusal([&] { settings.table("nowhere").number("x"); }),
            "nowhere.x is missing in readmission.toml; it must be a number");
}

TEST(Settings, QuotedNamesReachKeysWithDots) {
  const Settings settings = Settings::parse_text("[levels]\n\"250.83\" = \"diabetes\"\nplain = \"x\"\n", "s");
  const Settings levels = settings.table("levels");
  EXPECT_EQ(levels.keys(), (std::vector<std::string>{"\"250.83\"", "plain"}));
  for (const std::string& key : levels.keys()) levels.text(key);
  EXPECT_EQ(levels.text("\"250.83\""), "diabetes");
  EXPECT_NO_THROW(settings.reject_unknown());
}

TEST(Settings, WhereTellsThePlaceOfAValue) {
  Settings settings = readmission();
  EXPECT_EQ(settings.where("privacy.epsilon"), "privacy.epsilon in readmission.toml line 3");
  EXPECT_EQ(settings.table("privacy").where("clip"), "privacy.clip (not set in readmission.toml)");
  settings.set("privacy.epsilon=2");
  EXPECT_EQ(settings.where("privacy.epsilon"), "privacy.epsilon from --set privacy.epsilon=2");
}

TEST(Settings, CanonicalTextDependsOnValuesAlone) {
  const Settings a = Settings::parse_text("b = 1\na = 0x10\n[t]\ny = 'lit'\nx = {q = 1.50}\n", "a");
  const Settings b = Settings::parse_text("a = 16\r\nt.x.q = 1.5\r\nt.y = \"lit\"\r\nb = 1\r\n", "b");
  EXPECT_EQ(a.to_toml(), b.to_toml());
  EXPECT_EQ(a.hash(), b.hash());
  EXPECT_EQ(a.to_toml(), "a = 16\nb = 1\n\n[t]\ny = \"lit\"\n\n[t.x]\nq = 1.5\n");
  EXPECT_NE(a.hash(), Settings::parse_text("b = 2\na = 16\n[t]\ny = 'lit'\nx = {q = 1.5}\n", "a").hash());
}

TEST(Settings, ARemovedValueIsInNoTextAndItsKeyStaysKnown) {
  Settings settings = readmission();
  for (const char* key : {"privacy.epsilon", "privacy.epsilon", "privacy.nothing", "nothing.at.all", "seed.x"})
    settings.remove(key);
  EXPECT_FALSE(settings.has("privacy.epsilon"));
  EXPECT_EQ(settings.to_toml().find("epsilon"), std::string::npos);
  EXPECT_EQ(settings.number("privacy.delta"), 1e-5);
  EXPECT_EQ(settings.integer("seed"), 7);
}

TEST(Settings, CanonicalTextReadsBackExactly) {
  Settings settings = readmission();
  const double hard[] = {0.1, 1e-300, 5e-324, std::numeric_limits<double>::max(), 1.0 / 3, -0.0, 1e22, 123456789.0};
  for (int i = 0; i < 8; ++i) {
    std::ostringstream digits;
    digits.precision(17);
    digits << std::showpoint << hard[i];
    settings.set(cat("hard.x", i, "=", digits.str()));
  }
  settings.set("hard.text=\"tab\\t quote\\\" newline\\n back\\\\ ε \\u0001\"");
  settings.set("hard.mixed=[1, {a = [2.0, \"x\"]}]");
  settings.set("hard.\"with.dot\"=1");
  const Settings again = Settings::parse_text(settings.to_toml(), "again");
  EXPECT_EQ(again.to_toml(), settings.to_toml());
  EXPECT_EQ(again.text("hard.text"), settings.text("hard.text"));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(again.number(cat("hard.x", i)), hard[i]);
  EXPECT_EQ(again.tables("columns").size(), 2u);
}

TEST(Settings, BrokenFilesSayWhere) {
  EXPECT_NE(refusal([] { Settings::parse_text("a = 1\nb = = 2\n", "x.toml"); }).find("x.toml line 2 is not TOML"),
            std::string::npos);
  EXPECT_NE(refusal([] { Settings::parse_text("a = 1\na = 2\n", "x.toml"); }).find("x.toml line 2"), std::string::npos);
  EXPECT_NE(refusal([] { Settings::parse_file("/nowhere/x.toml"); }).find("/nowhere/x.toml"), std::string::npos);
  EXPECT_NE(refusal([] { Settings::parse_text("\"a\\\"b\" = 1", "x.toml"); }).find("quote"), std::string::npos);
  EXPECT_NE(refusal([] { Settings::parse_text("\"\" = 1", "x.toml"); }).find("empty name"), std::string::npos);
}

TEST(Settings, FilesWithWindowsLineEndsAndByteOrderMarkAreRead) {
  const std::string path = testing::TempDir() + "settings_crlf.toml";
  write_file(path, "\xEF\xBB\xBF[a]\r\nb = 1\r\nc = \"x\"\r\n");
  const Settings settings = Settings::parse_file(path);
  EXPECT_EQ(settings.integer("a.b"), 1);
  EXPECT_EQ(settings.text("a.c"), "x");
}

}  // namespace
}  // namespace sotto

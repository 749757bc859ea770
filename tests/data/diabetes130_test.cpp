// The published preparation of diabetes130 (datasets/diabetes130/README.md): every count and sum there was computed by
// another program from the same file.
#include <numeric>
#include <set>

#include "base/hash.h"
#include "data/number.h"
#include "tests/data/fixtures.h"

namespace sotto::data {
namespace {

const std::filesystem::path kRecords = kDiabetes / "diabetic_data.csv.gz";

const Schema& schema() {
  static const Schema read = Schema::read(kDiabetes / "schema.toml");
  return read;
}

const EncodedTable& encoded(Split split) {
  static const EncodedTable train = load(schema(), kRecords, Split::train),
                            test = load(schema(), kRecords, Split::test);
  return split == Split::train ? train : test;
}

int64_t positives(const EncodedTable& table) {
  return std::accumulate(table.labels.begin(), table.labels.end(), int64_t{0});
}

// SHA-256 of the patients, sorted as numbers and joined by line breaks.
std::string hash_of_patients(const EncodedTable& table) {
  std::vector<int64_t> patients;
  for (const std::string& unit : table.units) patients.push_back(std::stoll(unit));
  std::sort(patients.begin(), patients.end());
  std::string list;
  for (const int64_t patient : patients) list += (list.empty() ? "" : "\n") + std::to_string(patient);
  return to_hex(sha256(list));
}

TEST(Diabetes130, FileIsThePublishedOne) {
  EXPECT_EQ(to_hex(sha256_file(kRecords)), "16209e462b906f828e2423f7a9f783f4c4472ad81abd7d653f4e19b46da76e82");
}

TEST(Diabetes130, TrainAndTestAreThePublishedPatients) {
  const EncodedTable &train = encoded(Split::train), &test = encoded(Split::test);
  EXPECT_EQ(train.rows, 55743);
  EXPECT_EQ(positives(train), 4996);
  EXPECT_EQ(test.rows, 14230);
  EXPECT_EQ(positives(test), 1281);
  EXPECT_EQ(hash_of_patients(train), "ed8a557c6db59ce0bd370f33ddb4b59be0ba5b638b29f81a8a2e7049a70fd8e3");
  EXPECT_EQ(hash_of_patients(test), "7e3c4b75b5002efa9db73d2e83e44df0d646297d0995493019e355cbe31ae28c");
  EXPECT_EQ(test.units[0], "82637451");
  EXPECT_EQ(test.units[1], "63555939");
  EXPECT_EQ(test.units[2], "77391171");
}

TEST(Diabetes130, ReportCountsEveryRowOnce) {
  const LoadReport& report = encoded(Split::train).report;
  EXPECT_EQ(report.rows_read, 101766);
  EXPECT_EQ(report.bad_rows, 0);
  EXPECT_EQ(report.dropped_by_unit_rule, 101766 - 71518);
  EXPECT_EQ(report.excluded, 71518 - 69973);
  EXPECT_EQ(report.prepared, 69973);
  EXPECT_EQ(report.selected, 55743);
}

TEST(Diabetes130, ColumnSumsAreThePublishedOnes) {
  const Table table = read_table(kRecords, {}, required_columns(schema(), Split::all));
  const Selection all = select_rows(schema(), table, Split::all);
  for (const auto& [name, sum] : std::vector<std::pair<std::string, double>>{{"time_in_hospital", 299010},
                                                                             {"num_lab_procedures", 3000165},
                                                                             {"num_procedures", 99749},
                                                                             {"num_medications", 1096145},
                                                                             {"number_outpatient", 19560},
                                                                             {"number_emergency", 7271},
                                                                             {"number_inpatient", 12333},
                                                                             {"number_diagnoses", 505467}}) {
    double got = 0;
    for (const int64_t row : all.rows) got += *parse_number(table.find(name)->cell(row), false);
    EXPECT_EQ(got, sum) << name;
  }
}

TEST(Diabetes130, MissingCellsAndTheLevelNoneAreKeptApart) {
  const Table table = read_table(kRecords, {}, {"race", "payer_code", "diag_3", "max_glu_serum"});
  const auto count = [&](const char* name, std::string_view cell) {
    int64_t cells = 0;
    for (int64_t row = 0; row < table.rows(); ++row) cells += table.find(name)->cell(row) == cell;
    return cells;
  };
  EXPECT_EQ(count("race", "?"), 2273);
  EXPECT_EQ(count("payer_code", "?"), 40256);
  EXPECT_EQ(count("diag_3", "?"), 1423);
  EXPECT_GT(count("max_glu_serum", "None"), 90000);
  EXPECT_EQ(count("max_glu_serum", ""), 0);
}

TEST(Diabetes130, ValidationIsAFifthOfTheTrainingPatients) {
  const EncodedTable validation = load(schema(), kRecords, Split::validation);
  const EncodedTable rest = load(schema(), kRecords, Split::train_without_validation);
  EXPECT_EQ(validation.rows + rest.rows, 55743);
  EXPECT_NEAR(validation.rows, 55743 / 5.0, 5 * std::sqrt(55743 * 0.16));  // five standard deviations of a fair hash
  std::set<std::string> units(validation.units.begin(), validation.units.end());
  for (const std::string& unit : rest.units) EXPECT_FALSE(units.count(unit));
  for (const std::string& unit : encoded(Split::test).units) EXPECT_FALSE(units.count(unit));
}

TEST(Diabetes130, UsesThePublishedColumnsOnlyAndScalesThem) {
  EXPECT_EQ(schema().columns.size(), 9u + 35u);
  EXPECT_EQ(schema().unit.public_size, 55743);
  for (const char* name : {"examide", "citoglipton", "weight", "encounter_id"})
    for (const Column& column : schema().columns) EXPECT_NE(column.name, name);
  for (const Column& column : schema().columns) EXPECT_EQ(column.source.empty(), column.kind == ColumnKind::hashed);
  const EncodedTable& train = encoded(Split::train);
  for (int64_t row = 0; row < train.rows; row += 31) {
    double square = 0;
    for (int64_t j = 0; j < train.columns; ++j) square += std::pow(train.features[row * train.columns + j], 2);
    ASSERT_NEAR(std::sqrt(square), schema().row_norm, 1e-5) << "row " << row;  // float rounding of 356 entries
  }
}

TEST(Diabetes130, TokensAreOneIdAColumnInTheJointVocabulary) {
  const EncodedTable test = load(schema(), kRecords, Split::test, Encoding::tokens);
  EXPECT_EQ(test.columns, 44);
  EXPECT_EQ(test.tokens.size(), static_cast<size_t>(14230 * 44));
  EXPECT_EQ(test.labels, encoded(Split::test).labels);
  EXPECT_EQ(test.vocabulary, vocabulary(schema()));
  for (int64_t column = 1; column < 44; ++column)  // each column has its own ids, in order
    for (int64_t row = 0; row < test.rows; row += 97)
      ASSERT_LT(test.tokens[row * 44 + column - 1], test.tokens[row * 44 + column]);
  EXPECT_LT(*std::max_element(test.tokens.begin(), test.tokens.end()), test.vocabulary);
}

}  // namespace
}  // namespace sotto::data

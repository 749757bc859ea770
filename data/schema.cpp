#include "data/schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "base/settings.h"

namespace sotto::data {
namespace {

[[noreturn]] void refuse(const Settings& at, std::string_view key, const std::string& what) {
  throw Error(ErrorKind::configuration, cat(at.where(key), ": ", what));
}

template <class Value>
Value choose(const Settings& at, std::string_view key, const std::string& otherwise,
             const std::map<std::string, Value>& choices) {
  const std::string word = at.text(key, otherwise);
  const auto found = choices.find(word);
  if (found != choices.end()) return found->second;
  std::string all;
  for (const auto& choice : choices) all += cat(all.empty() ? "" : ", ", choice.first);
  refuse(at, key, cat("\"", word, "\" is none of ", all));
}

std::string need_source(const Settings& at, const char* what) {
  const std::string source = at.text("source", "");
  if (source.empty())
    refuse(at, "name",
           cat(what,
               " must be public: cite where it was published in `source`. What is read off the training "
               "data leaks it; a column without a public list can be kind = \"hashed\"."));
  return source;
}

int64_t integer_from(const Settings& at, std::string_view key, int64_t otherwise, int64_t least) {
  const int64_t value = at.integer(key, otherwise);
  if (value < least) refuse(at, key, cat(value, " is less than ", least));
  return value;
}

void read_pair(const Settings& at, std::string_view key, double& low, double& high) {
  const std::vector<double> pair = at.numbers(key, {low, high});
  if (pair.size() != 2 || !(pair[0] < pair[1])) refuse(at, key, "must be [low, high] with low < high");
  low = pair[0], high = pair[1];
}

void read_numeric(const Settings& at, Column& column) {
  if (!at.has("range"))
    refuse(at, "name", "a numeric column needs range = [low, high] from a public source; values outside are clamped");
  read_pair(at, "range", column.low, column.high);
  read_pair(at, "scale_to", column.scale_low, column.scale_high);
  column.source = need_source(at, "the range");
  column.log1p = choose<bool>(at, "transform", "none", {{"none", false}, {"log1p", true}});
  if (column.log1p && column.low <= -1) refuse(at, "range", "log1p needs a range above -1");
  column.midpoint = at.flag("midpoint", false);
  column.bins = integer_from(at, "bins", 16, 1);
  at.text("units", "");  // for people
}

std::vector<std::string> numbered_buckets(int64_t count) {
  std::vector<std::string> names;
  for (int64_t b = 0; b < count; ++b) names.push_back(cat("#", b));
  return names;
}

void read_levels(const Settings& at, const std::map<std::string, Grouping>& groupings, Column& column) {
  if (column.kind == ColumnKind::categorical) {
    column.levels = at.texts("levels");
    column.source = need_source(at, "the list of levels");
  } else if (column.kind == ColumnKind::hashed) {
    column.buckets = integer_from(at, "buckets", 0, 2);
    column.levels = numbered_buckets(column.buckets);
  } else {
    const auto found = groupings.find(at.text("grouping"));
    if (found == groupings.end()) refuse(at, "grouping", cat("no [[grouping]] is named ", at.text("grouping")));
    column.grouping = found->second;
    column.source = column.grouping.source;
    for (const CodeGroup& group : column.grouping.groups) column.levels.push_back(group.name);
  }
  const std::set<std::string> distinct(column.levels.begin(), column.levels.end());
  if (distinct.size() != column.levels.size() || distinct.count("OTHER") || distinct.count("MISSING"))
    refuse(at, "name", "levels must differ from each other and from OTHER and MISSING, which are added");
  const auto add = [&](const char* name) {
    column.levels.push_back(name);
    return static_cast<int64_t>(column.levels.size()) - 1;
  };
  if (column.kind != ColumnKind::hashed) column.other = add("OTHER");
  if (column.missing == Missing::level) column.missing_level = add("MISSING");
  if (column.missing == Missing::other && column.other < 0)
    refuse(at, "missing", "a hashed column has no level OTHER; use \"level\" or \"refuse\"");
  column.weight = at.number("weight", 1);
  if (column.weight <= 0)
    refuse(at, "weight", cat(column.weight, " is not positive; use kind = \"ignore\" to leave a column out"));
  if (const std::string reference = at.text("reference", ""); !reference.empty()) {
    const auto place = std::find(column.levels.begin(), column.levels.end(), reference);
    if (place == column.levels.end()) refuse(at, "reference", cat("\"", reference, "\" is not one of the levels"));
    column.reference = place - column.levels.begin();
  }
}

void read_column(const Settings& at, const std::map<std::string, Grouping>& groupings, std::vector<Column>& columns) {
  const std::vector<std::string> names =
      at.has("names") ? at.texts("names") : std::vector<std::string>{at.text("name")};
  enum class Kind { numeric, categorical, hashed, grouped, ignore };
  const Kind kind = choose<Kind>(at, "kind", "",
                                 {{"numeric", Kind::numeric},
                                  {"categorical", Kind::categorical},
                                  {"hashed", Kind::hashed},
                                  {"grouped", Kind::grouped},
                                  {"ignore", Kind::ignore}});
  if (kind == Kind::ignore) {
    at.text("reason", "");
    return;
  }
  Column column;
  column.kind = static_cast<ColumnKind>(kind);
  const bool numeric = kind == Kind::numeric;
  column.missing = choose<Missing>(at, "missing", numeric ? "refuse" : "level",
                                   {{"refuse", Missing::refuse}, {"level", Missing::level}, {"other", Missing::other}});
  if (numeric && column.missing == Missing::other) refuse(at, "missing", "a numeric column has no level OTHER");
  numeric ? read_numeric(at, column) : read_levels(at, groupings, column);
  for (const std::string& name : names) {
    column.name = name;
    columns.push_back(column);
  }
}

Grouping read_grouping(const Settings& at) {
  Grouping grouping{at.text("name"), need_source(at, "the table of codes"), {}};
  for (const Settings& group_at : at.tables("group")) {
    CodeGroup group{group_at.text("name"), {}, group_at.texts("prefixes", {})};
    for (const std::string& range : group_at.texts("ranges", {}))
      group.ranges.push_back(parse_range(range, group_at.where("ranges")));
    grouping.groups.push_back(std::move(group));
  }
  return grouping;
}

Unit read_unit(const Settings& at) {
  Unit unit{at.text("column"), at.text("name", at.text("column")), integer_from(at, "public_size", 0, 0), "", 1};
  unit.public_size_source = at.text("public_size_source", "");
  if (unit.public_size > 0 && unit.public_size_source.empty())
    refuse(at, "public_size", "the number of units is private unless published: say where in `public_size_source`");
  unit.max_records = integer_from(at, "max_records", 1, 1);
  choose<bool>(at, "keep", "first", {{"first", true}});
  return unit;
}

Label read_label(const Settings& at) {
  Label label{at.text("column"), at.texts("positive"), at.texts("negative")};
  if (label.positive.empty() || label.negative.empty())
    refuse(at, "column", "name the label's positive and negative values; any other value is a bad row");
  for (const std::string& value : label.positive)
    if (std::find(label.negative.begin(), label.negative.end(), value) != label.negative.end())
      refuse(at, "positive", cat("\"", value, "\" is both positive and negative"));
  at.text("description", "");
  return label;
}

SplitRule read_split(const Settings& at) {
  choose<bool>(at, "method", "sha256_mod", {{"sha256_mod", true}});
  SplitRule rule;
  rule.modulus = integer_from(at, "modulus", rule.modulus, 2);
  rule.test_remainder = integer_from(at, "test_remainder", rule.test_remainder, 0);
  rule.validation_modulus = integer_from(at, "validation_modulus", rule.validation_modulus, 2);
  rule.validation_remainder = integer_from(at, "validation_remainder", rule.validation_remainder, 0);
  if (rule.test_remainder >= rule.modulus) refuse(at, "test_remainder", "must be less than modulus");
  if (rule.validation_remainder >= rule.validation_modulus)
    refuse(at, "validation_remainder", "must be less than validation_modulus");
  return rule;
}

TableFormat read_format(const Settings& at) {
  using Kind = TableFormat::Kind;
  TableFormat format;
  format.kind =
      choose<Kind>(at, "format", "auto", {{"auto", Kind::automatic}, {"csv", Kind::csv}, {"parquet", Kind::parquet}});
  const std::string delimiter = at.text("delimiter", ",");
  if (delimiter.size() != 1) refuse(at, "delimiter", "must be one character, such as \",\", \";\" or \"\\t\"");
  format.delimiter = delimiter[0];
  format.names = at.texts("names", {});
  if (at.flag("header", true) != format.names.empty())
    refuse(at, "header", "header = false and the list `names` (the columns in file order) go together");
  return format;
}

BadRowLimit read_limit(const Settings& at) {
  const BadRowLimit limit{integer_from(at, "limit", 0, 0), at.number("limit_fraction", 0)};
  if (limit.fraction < 0 || limit.fraction >= 1) refuse(at, "limit_fraction", "must be at least 0 and less than 1");
  return limit;
}

void check_names(const Schema& schema, const Settings& at) {
  if (schema.columns.empty()) refuse(at, "column", "a schema needs at least one [[column]] that is not ignored");
  std::set<std::string> seen{schema.unit.column, schema.label.column};
  for (const Column& column : schema.columns)
    if (!seen.insert(column.name).second)
      refuse(at, "column", cat("column ", column.name, " has more than one role (unit, label or a [[column]])"));
}

}  // namespace

Schema Schema::from(const Settings& settings) {
  Schema schema;
  schema.name = settings.text("name");
  schema.description = settings.text("description", "");
  schema.licence = settings.text("licence", "");
  schema.citation = settings.text("citation", "");
  schema.row_norm = settings.number("row_norm", 0.0);
  if (schema.row_norm < 0 || schema.row_norm > 1e6)
    throw Error(ErrorKind::configuration, cat(settings.where("row_norm"),
                                              " must be positive and at most 1e6 (or absent), got ", schema.row_norm));
  const Settings file = settings.table("file");
  schema.public_file = file.flag("public", false);
  schema.missing = file.texts("missing", {""});
  schema.format = read_format(file);
  schema.unit = read_unit(settings.table("unit"));
  schema.label = read_label(settings.table("label"));
  schema.split = read_split(settings.table("split"));
  schema.bad_rows = read_limit(settings.table("bad_rows"));
  for (const Settings& rule : settings.tables("exclude"))
    schema.exclude.push_back({rule.text("column"), rule.texts("values"), rule.text("reason")});
  std::map<std::string, Grouping> groupings;
  for (const Settings& table : settings.tables("grouping")) {
    Grouping grouping = read_grouping(table);
    groupings[grouping.name] = grouping;
  }
  for (const Settings& column : settings.tables("column")) read_column(column, groupings, schema.columns);
  settings.reject_unknown();
  check_names(schema, settings);
  schema.toml = settings.to_toml();
  schema.hash = settings.hash();
  return schema;
}

Schema Schema::read(const std::filesystem::path& path) {
  return from(Settings::parse_file(path));
}

Schema Schema::parse(const std::string& toml, const std::string& source_name) {
  return from(Settings::parse_text(toml, source_name));
}

bool Schema::is_missing(std::string_view cell) const {
  return std::find(missing.begin(), missing.end(), cell) != missing.end();
}

}  // namespace sotto::data

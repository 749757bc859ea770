#include "data/select.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "data/number.h"

namespace sotto::data {
namespace {

constexpr size_t listed_bad_rows = 20;

bool contains(const std::vector<std::string>& values, std::string_view value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

bool missing(const Schema& schema, const TextColumn& cells, int64_t row) {
  return cells.is_null(row) || schema.is_missing(cells.cell(row));
}

// Marks the rows of one column that cannot be used, with the reason; the first reason of a row stays.
class BadCells {
 public:
  BadCells(const Schema& schema, const Table& table) : schema_(schema), table_(table), reasons_(table.rows()) {}

  void check(const Column& column) {
    const TextColumn& cells = *table_.find(column.name);
    if (column.missing == Missing::refuse)
      mark(cells, [&](int64_t row) { return missing(schema_, cells, row) ? "missing" : nullptr; });
    if (column.kind == ColumnKind::numeric)
      mark(cells, [&](int64_t row) {
        const bool fine = missing(schema_, cells, row) || parse_number(cells.cell(row), column.midpoint);
        return fine ? nullptr : "not a finite number";
      });
  }
  void check_unit(const TextColumn& cells) {
    mark(cells, [&](int64_t row) { return missing(schema_, cells, row) ? "missing" : nullptr; });
  }
  void check_label(const TextColumn& cells) {
    mark(cells, [&](int64_t row) {
      const std::string_view cell = cells.is_null(row) ? std::string_view() : cells.cell(row);
      const bool known = contains(schema_.label.positive, cell) || contains(schema_.label.negative, cell);
      return known ? nullptr : "none of the label's values";
    });
  }
  bool is_bad(int64_t row) const { return !reasons_[row].empty(); }
  std::vector<BadRow> all() const {
    std::vector<BadRow> bad = table_.bad_rows;
    for (int64_t row = 0; row < table_.rows(); ++row)
      if (is_bad(row)) bad.push_back({table_.lines[row], reasons_[row]});
    std::sort(bad.begin(), bad.end(), [](const BadRow& a, const BadRow& b) { return a.line < b.line; });
    return bad;
  }

 private:
  template <class Reason>
  void mark(const TextColumn& cells, Reason reason_of) {
    for (int64_t row = 0; row < table_.rows(); ++row)
      if (const char* reason = is_bad(row) ? nullptr : reason_of(row))
        reasons_[row] = cat(cells.name(), " is ", reason);
  }

  const Schema& schema_;
  const Table& table_;
  std::vector<std::string> reasons_;
};

void refuse_above(const BadRowLimit& limit, const LoadReport& report, const Table& table) {
  const int64_t allowed =
      limit.count + static_cast<int64_t>(std::floor(limit.fraction * static_cast<double>(report.rows_read)));
  if (report.bad_rows <= allowed) return;
  std::string list;
  for (const BadRow& bad : report.first_bad_rows) list += cat("\n  line ", bad.line, ": ", bad.reason);
  const bool cut = report.bad_rows > static_cast<int64_t>(report.first_bad_rows.size());
  throw Error(
      ErrorKind::data,
      cat(table.path.string(), ": ", report.bad_rows, " of ", report.rows_read, " rows are bad, ", allowed,
          " are allowed. Correct them, or raise `limit` in the schema's [bad_rows].", list, cut ? "\n  …" : ""));
}

// The first rule that excludes the row, or the number of rules.
size_t excluding_rule(const Schema& schema, const Table& table, int64_t row) {
  size_t r = 0;
  for (; r < schema.exclude.size(); ++r) {
    const TextColumn& cells = *table.find(schema.exclude[r].column);
    if (!cells.is_null(row) && contains(schema.exclude[r].values, cells.cell(row))) break;
  }
  return r;
}

}  // namespace

Selection select_rows(const Schema& schema, const Table& table, Split split) {
  const TextColumn* units = table.find(schema.unit.column);
  const TextColumn* labels = table.find(schema.label.column);
  BadCells bad(schema, table);
  for (const Column& column : schema.columns) bad.check(column);
  if (split != Split::every_row) bad.check_unit(*units);
  if (split != Split::every_row) bad.check_label(*labels);

  Selection out;
  LoadReport& report = out.report;
  report.first_bad_rows = bad.all();
  report.bad_rows = static_cast<int64_t>(report.first_bad_rows.size());
  report.rows_read = table.rows() + static_cast<int64_t>(table.bad_rows.size());
  if (report.first_bad_rows.size() > listed_bad_rows) report.first_bad_rows.resize(listed_bad_rows);
  refuse_above(schema.bad_rows, report, table);

  report.excluded_by_rule.assign(schema.exclude.size(), 0);
  struct UnitRows {
    int64_t records = 0;        // seen so far
    std::vector<int64_t> rows;  // that are used
  };
  std::unordered_map<std::string_view, UnitRows> seen;
  std::vector<std::string_view> order;  // of the units in the file
  for (int64_t row = 0; row < table.rows(); ++row) {
    if (bad.is_bad(row)) continue;
    if (split != Split::every_row) {
      UnitRows& unit = seen[units->cell(row)];
      if (unit.records == 0) order.push_back(units->cell(row));
      if (++unit.records > schema.unit.max_records) {
        ++report.dropped_by_unit_rule;
        continue;
      }
      if (const size_t rule = excluding_rule(schema, table, row); rule < schema.exclude.size()) {
        ++report.excluded;
        ++report.excluded_by_rule[rule];
        continue;
      }
    }
    ++report.prepared;
    if (split == Split::every_row)
      out.rows.push_back(row);
    else if (schema.split.holds(split, units->cell(row)))
      seen[units->cell(row)].rows.push_back(row);
  }
  for (const std::string_view unit : order) {
    const std::vector<int64_t>& rows = seen[unit].rows;
    out.rows.insert(out.rows.end(), rows.begin(), rows.end());
  }
  report.selected = static_cast<int64_t>(out.rows.size());
  if (out.rows.empty())
    throw Error(ErrorKind::data,
                cat(table.path.string(), ": no row is left of ", report.rows_read, ": ", report.bad_rows, " bad, ",
                    report.dropped_by_unit_rule, " further records of a ", schema.unit.name, ", ", report.excluded,
                    " excluded, ", report.prepared, " of another split"));
  if (split != Split::every_row)
    for (const int64_t row : out.rows) out.labels.push_back(contains(schema.label.positive, labels->cell(row)));
  return out;
}

std::vector<std::string> required_columns(const Schema& schema, Split split) {
  std::vector<std::string> names;
  for (const Column& column : schema.columns) names.push_back(column.name);
  if (split == Split::every_row) return names;
  names.push_back(schema.unit.column);
  names.push_back(schema.label.column);
  for (const Exclusion& rule : schema.exclude)
    if (!contains(names, rule.column)) names.push_back(rule.column);
  return names;
}

std::vector<std::string> optional_columns(const Schema& schema, Split split) {
  return split == Split::every_row ? std::vector<std::string>{schema.unit.column} : std::vector<std::string>{};
}

}  // namespace sotto::data

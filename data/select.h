#pragma once
#include <cstdint>
#include <vector>

#include "data/schema.h"
#include "data/table.h"

namespace sotto::data {

// What happened to the rows of a file. Exact counts of personal records: for the operator, never for release.
struct LoadReport {
  int64_t rows_read = 0;  // good and bad
  int64_t bad_rows = 0;
  std::vector<BadRow> first_bad_rows;  // at most 20, by line
  int64_t dropped_by_unit_rule = 0;    // further records of a unit that has max_records
  int64_t excluded = 0;
  std::vector<int64_t> excluded_by_rule;  // by the first rule that holds, in the schema's order
  int64_t prepared = 0;                   // what is left: rows of `all`
  int64_t selected = 0;                   // rows of the split asked for
  int64_t clamped = 0, unseen = 0;        // cells outside a range, cells that became OTHER, in the selected rows
};

struct Selection {
  std::vector<int64_t> rows;    // of the table, a unit's together, in file order of the units' first and within a unit
  std::vector<int64_t> labels;  // 0 or 1, a row; empty when the table has no label column
  LoadReport report;
};

// The rows of the split, after (1) bad rows are dropped: a wrong number of fields, a cell that is no finite number or
// is missing where that is refused, a unit or label that is missing, a label value that the schema does not name; (2)
// the first max_records rows in file order of each unit are kept; (3) the schema's exclusions. Step 1 looks at a row
// alone, step 2 at units alone, so a row's fate depends on no other unit's rows. every_row stops after (1). Throws data
// when the bad rows are more than the schema's limit, naming the first by line, and when no row is left.
Selection select_rows(const Schema& schema, const Table& table, Split split);

// The columns that a split needs, and those it uses where they are there.
std::vector<std::string> required_columns(const Schema& schema, Split split);
std::vector<std::string> optional_columns(const Schema& schema, Split split);

}  // namespace sotto::data

#include "engine/tape/by_unit.h"

#include <algorithm>

#include "base/error.h"

namespace sotto {
namespace {

// Which unit each record belongs to, [records], and where each unit begins, [units + 1].
struct Places {
  int64_t units, most;  // most records a unit
  at::Tensor unit, starts;
};

Places places_of(const std::vector<int64_t>& starts, int64_t records) {
  require(starts.size() >= 2 && starts.front() == 0 && starts.back() == records, "units must cover all ", records,
          " records");
  Places places = {.units = static_cast<int64_t>(starts.size()) - 1, .most = 0, .unit = {}, .starts = {}};
  std::vector<int64_t> unit;
  for (size_t u = 0; u + 1 < starts.size(); ++u) {
    const int64_t own = starts[u + 1] - starts[u];
    require(own >= 1, "unit ", u, " of the batch has no record");
    places.most = std::max(places.most, own);
    unit.insert(unit.end(), static_cast<size_t>(own), static_cast<int64_t>(u));
  }
  places.unit = at::tensor(unit, at::kLong);
  places.starts = at::tensor(starts, at::kLong);
  return places;
}

// Where the rows of each unit begin, of records that have `length` rows.
at::Tensor rows_of_units(const Places& places, int64_t length, const at::Tensor& beside) {
  return (places.starts * length).to(beside.device());
}

at::Tensor summed(const at::Tensor& rows, const Places& places) {
  if (rows.scalar_type() == at::kBFloat16) {  // a unit's sum is rounded once
    const at::Tensor all = at::empty({places.units, rows.size(1)}, rows.options());
    const at::Tensor counts = at::bincount(places.unit);
    for (int64_t u = 0, first = 0; u < places.units; ++u) {
      const int64_t own = counts[u].item<int64_t>();
      all.select(0, u).copy_(rows.narrow(0, first, own).sum(0, false, at::kFloat));
      first += own;
    }
    return all;
  }
  return at::zeros({places.units, rows.size(1)}, rows.options()).index_add_(0, places.unit.to(rows.device()), rows);
}

}  // namespace

GradSamples by_unit(GradSamples records, const std::vector<int64_t>& starts, const Parameters& parameters) {
  const Places places = places_of(starts, records.batch);
  if (places.most == 1) return records;
  join_uses(parameters, records);  // while they all have the same length
  GradSamples units;
  units.batch = places.units;
  units.parameters.resize(records.parameters.size());
  units.losses.assign(static_cast<size_t>(places.units), 0.0);
  for (size_t u = 0; u + 1 < starts.size(); ++u)
    for (int64_t r = starts[u]; r < starts[u + 1]; ++r) units.losses[u] += records.losses[static_cast<size_t>(r)];
  for (size_t k = 0; k < records.parameters.size(); ++k) {
    const ParameterSamples& from = records.parameters[k];
    ParameterSamples& to = units.parameters[k];
    if (from.carried) {  // one row a record let its weight carry it; a unit's rows do not
      const int64_t elements = parameters.tensor(static_cast<int64_t>(k)).numel();
      to.stored.push_back(summed(gradient_rows(records, static_cast<int64_t>(k), elements), places));
      continue;
    }
    for (const FactoredUse& use : from.factored)
      to.factored.push_back({.activation = use.activation,
                             .gradient = use.gradient,
                             .length = use.length * places.most,
                             .first_row = use.first_row,
                             .direct = use.direct,
                             .starts = rows_of_units(places, use.length, use.gradient)});
    for (const IndexedUse& use : from.indexed)
      to.indexed.push_back({.ids = use.ids,
                            .gradient = use.gradient,
                            .padding_index = use.padding_index,
                            .starts = rows_of_units(places, use.ids.size(1), use.gradient),
                            .longest = use.ids.size(1) * places.most});
    for (const at::Tensor& rows : from.stored) to.stored.push_back(summed(rows, places));
    for (const RecomputedUse& use : from.recomputed)
      to.recomputed.push_back({[use, starts](int64_t first, int64_t count) {
        const int64_t begin = starts[static_cast<size_t>(first)], end = starts[static_cast<size_t>(first + count)];
        const at::Tensor rows = use.rows(begin, end - begin);
        std::vector<int64_t> unit;
        for (int64_t u = first; u < first + count; ++u)
          unit.insert(unit.end(),
                      static_cast<size_t>(starts[static_cast<size_t>(u) + 1] - starts[static_cast<size_t>(u)]),
                      u - first);
        return at::zeros({count, rows.size(1)}, rows.options())
            .index_add_(0, at::tensor(unit, at::kLong).to(rows.device()), rows);
      }});
  }
  return units;
}

}  // namespace sotto

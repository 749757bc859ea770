#include "engine/tape/by_unit.h"

#include <algorithm>

#include "base/error.h"
#include "engine/site.h"
#include "engine/tape/row_sums.h"

namespace sotto {
namespace {

// Which unit each record belongs to, [records], and where each unit begins, [units + 1]: on the device of what they are
// for, sent there once and not waited for.
struct Places {
  int64_t units, most;  // most records a unit
  at::Tensor unit, starts;
};

Places places_of(const std::vector<int64_t>& starts, int64_t records, const at::Device& device) {
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
  places.unit = send(at::tensor(unit, at::kLong), device);
  places.starts = send(at::tensor(starts, at::kLong), device);
  return places;
}

at::Tensor summed(const at::Tensor& rows, const Places& places, const std::vector<int64_t>& starts) {
  if (rows.scalar_type() != at::kBFloat16) return row_sums(rows, places.unit, places.units);
  const at::Tensor all = at::empty({places.units, rows.size(1)}, rows.options());
  for (int64_t u = 0; u < places.units; ++u) {  // a unit's sum is rounded once
    const int64_t first = starts[static_cast<size_t>(u)], own = starts[static_cast<size_t>(u) + 1] - first;
    all.select(0, u).copy_(rows.narrow(0, first, own).sum(0, false, at::kFloat));
  }
  return all;
}

}  // namespace

GradSamples by_unit(GradSamples records, const std::vector<int64_t>& starts, const Parameters& parameters) {
  const Places places = places_of(starts, records.batch, parameters.tensor(0).device());
  if (places.most == 1) return records;
  join_uses(parameters, records);  // while they all have the same length
  GradSamples units;
  units.batch = places.units;
  units.parameters.resize(records.parameters.size());
  units.losses = row_sums(records.losses, places.unit, places.units);
  for (size_t k = 0; k < records.parameters.size(); ++k) {
    const ParameterSamples& from = records.parameters[k];
    ParameterSamples& to = units.parameters[k];
    if (from.carried) {  // one row a record let its weight carry it; a unit's rows do not
      const int64_t elements = parameters.tensor(static_cast<int64_t>(k)).numel();
      to.stored.push_back(summed(gradient_rows(records, static_cast<int64_t>(k), elements), places, starts));
      continue;
    }
    for (const FactoredUse& use : from.factored)
      to.factored.push_back({.activation = use.activation,
                             .gradient = use.gradient,
                             .length = use.length * places.most,
                             .first_row = use.first_row,
                             .direct = use.direct,
                             .starts = places.starts * use.length});
    for (const IndexedUse& use : from.indexed)
      to.indexed.push_back({.ids = use.ids,
                            .gradient = use.gradient,
                            .padding_index = use.padding_index,
                            .starts = places.starts * use.ids.size(1),
                            .longest = use.ids.size(1) * places.most});
    for (const at::Tensor& rows : from.stored) to.stored.push_back(summed(rows, places, starts));
    for (const RecomputedUse& use : from.recomputed)
      to.recomputed.push_back({[use, starts](int64_t first, int64_t count) {
        const int64_t begin = starts[static_cast<size_t>(first)], end = starts[static_cast<size_t>(first + count)];
        const at::Tensor rows = use.rows(begin, end - begin);
        std::vector<int64_t> unit;
        for (int64_t u = first; u < first + count; ++u)
          unit.insert(unit.end(),
                      static_cast<size_t>(starts[static_cast<size_t>(u) + 1] - starts[static_cast<size_t>(u)]),
                      u - first);
        return row_sums(rows, send(at::tensor(unit, at::kLong), rows.device()), count);
      }});
  }
  return units;
}

}  // namespace sotto

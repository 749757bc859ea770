#include "engine/tape/by_unit.h"

#include <algorithm>

#include "base/error.h"

namespace sotto {
namespace {

// Which unit each record belongs to, and where among the rows of a unit: [records].
struct Places {
  int64_t units, most;  // most records a unit
  at::Tensor unit, slot;
};

Places places_of(const std::vector<int64_t>& starts, int64_t records) {
  require(starts.size() >= 2 && starts.front() == 0 && starts.back() == records, "units must cover all ", records,
          " records");
  Places places = {.units = static_cast<int64_t>(starts.size()) - 1, .most = 0, .unit = {}, .slot = {}};
  std::vector<int64_t> unit, slot;
  for (size_t u = 0; u + 1 < starts.size(); ++u) {
    const int64_t own = starts[u + 1] - starts[u];
    require(own >= 1, "unit ", u, " of the batch has no record");
    places.most = std::max(places.most, own);
    for (int64_t k = 0; k < own; ++k) {
      unit.push_back(static_cast<int64_t>(u));
      slot.push_back(k);
    }
  }
  places.unit = at::tensor(unit, at::kLong);
  places.slot = at::tensor(slot, at::kLong);
  return places;
}

// [records · length, columns] to [units · most · length, columns], zeros where a unit has fewer records.
at::Tensor padded(const at::Tensor& rows, const Places& places, int64_t length) {
  const int64_t columns = rows.size(1);
  at::Tensor all = at::zeros({places.units * places.most, length * columns}, rows.options());
  const at::Tensor to = (places.unit * places.most + places.slot).to(rows.device());
  all.index_copy_(0, to, rows.reshape({-1, length * columns}));
  return all.view({-1, columns});
}

at::Tensor summed(const at::Tensor& rows, const Places& places) {
  return at::zeros({places.units, rows.size(1)}, rows.options()).index_add_(0, places.unit.to(rows.device()), rows);
}

}  // namespace

GradSamples by_unit(GradSamples records, const std::vector<int64_t>& starts, const Parameters& parameters) {
  const Places places = places_of(starts, records.batch);
  if (places.most == 1) return records;
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
      to.factored.push_back({.activation = padded(use.activation, places, use.length),
                             .gradient = padded(use.gradient, places, use.length),
                             .length = use.length * places.most,
                             .first_row = use.first_row,
                             .direct = use.direct});
    for (const IndexedUse& use : from.indexed) {
      const int64_t length = use.ids.size(1);
      at::Tensor ids = at::zeros({places.units * places.most, length}, use.ids.options());
      ids.index_copy_(0, (places.unit * places.most + places.slot).to(ids.device()), use.ids);
      to.indexed.push_back({ids.view({places.units, -1}), padded(use.gradient, places, length), use.padding_index});
    }
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

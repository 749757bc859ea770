#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/planner/time_model.h"
#include "engine/tape/parameters.h"

namespace sotto {

struct PlannedProduct {
  struct Way {
    NormMethod method;
    double milliseconds;  // predicted, for a micro-batch
    int64_t bytes;        // kept from its backward pass until the clipped sum
  };
  ProductShape product;
  std::vector<Way> ways;
  size_t chosen = 0;

  const Way& way() const { return ways[chosen]; }
};

struct NormPlan {
  std::vector<PlannedProduct> products;
  int64_t batch, memory_limit;
  bool fits = true;        // false: the least that any choice keeps is more than the limit; then it is that choice
  bool may_round = false;  // memory is short, so gradients of float32 factors in bfloat16 were considered, too

  double milliseconds() const;
  int64_t bytes() const;
  NormMethods methods() const;
  // What the plan costs in accuracy, for people; empty where it costs none.
  std::string loss_of_accuracy() const;
};

// The ways with the least predicted time in all, of those that keep at most `memory_limit` bytes together: a knapsack,
// solved exactly over memory in steps of a 4096th of the limit. A plan changes time, memory and the last bits of the
// norms; never what is guaranteed. Gradients of float32 factors are rounded to bfloat16 only where the limit keeps
// some product from its fastest way; those of bfloat16 factors wherever it is faster.
NormPlan plan_norms(const std::vector<ProductShape>& products, int64_t batch, int64_t memory_limit,
                    const TimeModel& model);

// {"block0_up.weight": "stored", …}, and back. Throws data for a name or a method that is not known.
nlohmann::json to_json(const NormMethods& methods, const Parameters& parameters);
NormMethods norm_methods_from(const nlohmann::json& json, const Parameters& parameters);

}  // namespace sotto

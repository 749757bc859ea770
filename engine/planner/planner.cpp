#include "engine/planner/planner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace sotto {
namespace {

constexpr int64_t kSteps = 4096;

// Memory in steps, rounded up, so that what is chosen fits for certain.
int64_t steps_of(int64_t bytes, int64_t limit) {
  if (bytes > limit) return kSteps + 1;
  return limit == 0 ? 0
                    : static_cast<int64_t>(std::ceil(static_cast<double>(bytes) / static_cast<double>(limit) * kSteps));
}

// Gradients rounded to bfloat16 are a loss where their factors were not: of factors in bfloat16, LibTorch's own
// gradient of a whole batch would be rounded so.
bool rounds(const PlannedProduct& product, const PlannedProduct::Way& way) {
  return way.method == NormMethod::stored_bf16 && product.product.factors != at::kBFloat16;
}

// The fastest choice within the limit, without gradients in bfloat16 unless they `may_round`; false if there is none.
// times[m] is the least for m steps of memory.
bool choose_fastest(std::vector<PlannedProduct>& products, int64_t limit, bool may_round) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  std::vector<double> times(kSteps + 1, 0.0);
  std::vector<std::vector<uint8_t>> choices;
  for (const PlannedProduct& product : products) {
    std::vector<double> next(kSteps + 1, kNever);
    std::vector<uint8_t> choice(kSteps + 1, 0);
    for (size_t w = 0; w < product.ways.size(); ++w) {
      if (rounds(product, product.ways[w]) && !may_round) continue;
      for (int64_t m = steps_of(product.ways[w].bytes, limit); m <= kSteps; ++m) {
        const double time =
            times[static_cast<size_t>(m - steps_of(product.ways[w].bytes, limit))] + product.ways[w].milliseconds;
        if (time < next[static_cast<size_t>(m)]) {
          next[static_cast<size_t>(m)] = time;
          choice[static_cast<size_t>(m)] = static_cast<uint8_t>(w);
        }
      }
    }
    times = std::move(next);
    choices.push_back(std::move(choice));
  }
  if (times.back() == kNever) return false;
  int64_t left = kSteps;
  for (size_t i = products.size(); i-- > 0;) {
    products[i].chosen = choices[i][static_cast<size_t>(left)];
    left -= steps_of(products[i].way().bytes, limit);
  }
  return true;
}

// Whether with more memory some product would go another way.
bool is_short_of_memory(const std::vector<PlannedProduct>& products) {
  return std::ranges::any_of(products, [](const PlannedProduct& product) {
    return std::ranges::any_of(product.ways, [&](const PlannedProduct::Way& way) {
      return !rounds(product, way) && way.milliseconds < product.way().milliseconds;
    });
  });
}

}  // namespace

double NormPlan::milliseconds() const {
  double total = 0;
  for (const PlannedProduct& product : products) total += product.way().milliseconds;
  return total;
}

int64_t NormPlan::bytes() const {
  int64_t total = 0;
  for (const PlannedProduct& product : products) total += product.way().bytes;
  return total;
}

NormMethods NormPlan::methods() const {
  NormMethods methods;
  for (const PlannedProduct& product : products) methods[product.product.parameter] = product.way().method;
  return methods;
}

NormPlan plan_norms(const std::vector<ProductShape>& products, int64_t batch, int64_t memory_limit,
                    const TimeModel& model) {
  require(batch >= 1 && memory_limit >= 0, "a plan needs a batch and a memory limit, got ", batch, " and ",
          memory_limit);
  NormPlan plan = {.products = {}, .batch = batch, .memory_limit = memory_limit};
  for (const ProductShape& product : products) {
    PlannedProduct planned = {.product = product, .ways = {}};
    for (const NormMethod method : product.methods())
      planned.ways.push_back({method, model.milliseconds(product, batch, method), product.kept_bytes(method, batch)});
    plan.products.push_back(std::move(planned));
  }
  plan.fits = choose_fastest(plan.products, memory_limit, false);
  plan.may_round = !plan.fits || is_short_of_memory(plan.products);
  if (plan.may_round) plan.fits = choose_fastest(plan.products, memory_limit, true);
  if (!plan.fits)
    for (PlannedProduct& product : plan.products)
      product.chosen = static_cast<size_t>(
          std::ranges::min_element(product.ways, {},
                                   [](const auto& way) { return std::pair(way.bytes, way.milliseconds); }) -
          product.ways.begin());
  return plan;
}

std::string NormPlan::loss_of_accuracy() const {
  const auto rounded =
      std::ranges::count_if(products, [](const PlannedProduct& product) { return rounds(product, product.way()); });
  if (rounded == 0) return "";
  return cat("per-sample gradients of ", rounded, " of ", products.size(),
             " products are kept in bfloat16 (each entry rounded by up to 0.4 %), for want of memory: the guarantee is "
             "the same, the gradients a little less exact");
}

nlohmann::json to_json(const NormMethods& methods, const Parameters& parameters) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [parameter, method] : methods) json[parameters.name(parameter)] = to_string(method);
  return json;
}

NormMethods norm_methods_from(const nlohmann::json& json, const Parameters& parameters) {
  NormMethods methods;
  if (!json.is_object()) throw Error(ErrorKind::data, "norm methods are an object of names and methods");
  for (const auto& [name, text] : json.items()) {
    int64_t parameter = 0;
    while (parameter < parameters.size() && parameters.name(parameter) != name) ++parameter;
    const auto method = std::ranges::find_if(kNormMethods, [&](NormMethod m) { return text == to_string(m); });
    if (parameter == parameters.size() || method == std::end(kNormMethods))
      throw Error(ErrorKind::data, cat("no parameter ", name, " with the method ", text.dump(), " in this model"));
    methods[parameter] = *method;
  }
  return methods;
}

}  // namespace sotto

#include "engine/planner/time_model.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace sotto {
namespace {

using Amounts = std::array<double, TimeModel::kAmounts>;

double whole_vectors(int64_t floats) {
  constexpr int64_t kLanes = 16;
  return static_cast<double>((floats + kLanes - 1) / kLanes * kLanes);
}

Amounts amounts(const ProductShape& product, int64_t batch, NormMethod method) {
  const auto b = static_cast<double>(batch), length = static_cast<double>(product.length);
  const double p = whole_vectors(product.rows), d = whole_vectors(product.columns);
  const bool gram = method == NormMethod::ghost, box = method == NormMethod::box_filter;
  const auto channels = static_cast<double>(product.in_channels);
  const double places = box ? static_cast<double>(product.image) / channels : 0;
  return {1,
          b,
          b * length * (p + d),
          b * length * p * d,
          b * p * d,
          p * d,
          gram  ? b * length * length * (p + d)
          : box ? b * (length * length * p + places * places * channels)
                : 0,
          gram  ? b * length * length
          : box ? b * length * length * static_cast<double>(product.taps)
                : 0,
          b * static_cast<double>(product.image)};
}

double sum(const Amounts& amount, const TimeModel::Prices& prices) {
  double total = 0;
  for (size_t k = 0; k < amount.size(); ++k) total += amount[k] * prices[k];
  return total;
}

// Least squares of the relative error under prices ≥ 0, a price at a time (Franc, Hlaváč and Navara 2005).
TimeModel::Prices non_negative_prices(const std::vector<Amounts>& rows) {
  TimeModel::Prices prices = {};
  std::vector<double> rest(rows.size(), -1);  // Σ prices · row - 1: every measured time is 1 after scaling
  for (int round = 0; round < 20000; ++round)
    for (size_t k = 0; k < prices.size(); ++k) {
      double slope = 0, curvature = 0;
      for (size_t i = 0; i < rows.size(); ++i) slope += rows[i][k] * rest[i], curvature += rows[i][k] * rows[i][k];
      if (curvature == 0) continue;
      const double moved = std::max(0.0, prices[k] - slope / curvature);
      for (size_t i = 0; i < rows.size(); ++i) rest[i] += rows[i][k] * (moved - prices[k]);
      prices[k] = moved;
    }
  return prices;
}

}  // namespace

TimeModel TimeModel::fit(const std::vector<MethodTime>& measured) {
  TimeModel model;
  for (const bool convolution : {false, true})
    for (size_t method = 0; method < kMethods; ++method) {
      std::vector<Amounts> rows;
      for (const MethodTime& time : measured) {
        if (time.product.convolution != convolution || static_cast<size_t>(time.method) != method) continue;
        require(time.milliseconds > 0, "a measured time must be positive");
        rows.push_back(amounts(time.product, time.batch, time.method));
        for (double& amount : rows.back()) amount /= time.milliseconds;
      }
      if (!convolution && static_cast<NormMethod>(method) == NormMethod::box_filter) continue;
      require(!rows.empty(), "no time was measured for ", to_string(static_cast<NormMethod>(method)),
              convolution ? " of convolutions" : " of linear products");
      model.prices_[convolution ? 1 : 0][method] = non_negative_prices(rows);
    }
  return model;
}

double TimeModel::milliseconds(const ProductShape& product, int64_t batch, NormMethod method) const {
  return sum(amounts(product, batch, method), prices_[product.convolution ? 1 : 0][static_cast<size_t>(method)]);
}

nlohmann::json TimeModel::to_json() const {
  return nlohmann::json(prices_);
}

TimeModel TimeModel::from_json(const nlohmann::json& json) {
  TimeModel model;
  try {
    json.get_to(model.prices_);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::data, cat("this is not a time model: ", error.what()));
  }
  for (const auto& kind : model.prices_)
    for (const Prices& prices : kind)
      for (const double price : prices)
        if (!(price >= 0 && std::isfinite(price)))
          throw Error(ErrorKind::data, "a time model's prices are finite and not negative");
  return model;
}

}  // namespace sotto

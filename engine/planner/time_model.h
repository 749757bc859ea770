#pragma once
#include <array>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/tape/norm_method.h"

namespace sotto {

// One measurement: what a method took on a product, from the gradients' arrival to the clipped sum.
struct MethodTime {
  ProductShape product;
  int64_t batch;
  NormMethod method;
  double milliseconds;
};

// Predicts a method's time on this machine as a sum of amounts of work, each at a fitted price:
//   1, B, B L (p + d), B L p d, B p d, p d, and for the Gram matrices B L² (p + d) and B L², where a box filter of K
//   taps has B (L² p + P² C) and B L² K for P places of C channels; of a convolution also the floats of its images; p
//   and d rounded up to whole vectors.
// The prices are non-negative and fitted so that the relative errors are least in the mean square, apart for linear
// products and convolutions.
class TimeModel {
 public:
  static constexpr size_t kAmounts = 9;
  using Prices = std::array<double, kAmounts>;

  // Throws invalid_argument where a method of either kind was not measured at all (a box filter is for convolutions).
  static TimeModel fit(const std::vector<MethodTime>& measured);

  double milliseconds(const ProductShape& product, int64_t batch, NormMethod method) const;

  nlohmann::json to_json() const;
  static TimeModel from_json(const nlohmann::json& json);  // throws data for anything else

 private:
  static constexpr size_t kMethods = std::size(kNormMethods);
  std::array<std::array<Prices, kMethods>, 2> prices_ = {};  // [convolution][method]
};

}  // namespace sotto

#pragma once
#include <algorithm>
#include <vector>

#include "base/error.h"

namespace sotto {

// The middle of the values, or the mean of the two in the middle. Throws invalid_argument where there are none.
inline double median(std::vector<double> values) {
  require(!values.empty(), "there is no median of nothing");
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace sotto

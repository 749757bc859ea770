#include "accountants/binomial.h"

#include <cmath>

namespace sotto::accountants {

BinomialMasses::BinomialMasses(double trials, double probability) {
  const double mode = std::floor((trials + 1) * probability), odds = probability / (1 - probability);
  std::vector<double> below, above;
  for (double c = mode, next = 1; next > 1e-40 && c <= trials; next *= (trials - c) / (c + 1) * odds, ++c)
    above.push_back(next);
  for (double c = mode, next = 1; c >= 1; --c) {
    next *= c / (trials - c + 1) / odds;
    if (next <= 1e-40) break;
    below.push_back(next);
  }
  first = mode - static_cast<double>(below.size());
  mass.assign(below.rbegin(), below.rend());
  mass.insert(mass.end(), above.begin(), above.end());
  double sum = 0;
  for (const double each : mass) sum += each;
  for (double& each : mass) each /= sum;
}

}  // namespace sotto::accountants

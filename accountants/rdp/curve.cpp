#include "accountants/rdp/curve.h"

#include <limits>
#include <map>
#include <mutex>

#include "accountants/rdp/orders.h"
#include "accountants/rdp/sampled_gaussian.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr double kUselessRdp = 700;
constexpr size_t kRememberedCurves = 64;

}  // namespace

bool has_rdp_curve(const Event& event, NeighbouringRelation relation) {
  if (std::holds_alternative<Gaussian>(event.mechanism)) return true;
  const bool sampled = std::holds_alternative<PoissonSampledGaussian>(event.mechanism) ||
                       std::holds_alternative<PoissonSampledDiscreteGaussian>(event.mechanism);
  return sampled && relation != NeighbouringRelation::replace_one;
}

RdpCurve rdp_curve(const Event& event, NeighbouringRelation relation, const std::vector<double>& orders) {
  validate(event);
  require(has_rdp_curve(event, relation), "no RDP curve for ", to_json(event), " under ", to_string(relation));
  double noise_multiplier = 0, sample_rate = 1;
  const auto* discrete = std::get_if<PoissonSampledDiscreteGaussian>(&event.mechanism);
  if (const auto* sampled = std::get_if<PoissonSampledGaussian>(&event.mechanism)) {
    noise_multiplier = sampled->noise_multiplier;
    sample_rate = sampled->sample_rate;
  } else if (discrete != nullptr) {
    noise_multiplier = discrete->noise_multiplier;
    sample_rate = discrete->sample_rate;
  } else {
    noise_multiplier = std::get<Gaussian>(event.mechanism).noise_multiplier;
    // Replacing a unit moves the sum by 2C, the noise multiplier is in units of C.
    if (relation == NeighbouringRelation::replace_one) noise_multiplier /= 2;
  }
  const auto bound = discrete != nullptr ? rdp_sampled_discrete_gaussian : rdp_sampled_gaussian;
  RdpCurve curve;
  for (const double order : orders) {
    const bool useless = order > 2 && !curve.empty() && curve.back() > kUselessRdp && sample_rate < 1;
    curve.push_back(useless ? std::numeric_limits<double>::infinity() : bound(noise_multiplier, sample_rate, order));
  }
  return curve;
}

std::shared_ptr<const RdpCurve> default_rdp_curve(const Event& event, NeighbouringRelation relation) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const RdpCurve>> remembered;
  const std::string key = cat(to_string(relation), to_json(event));
  {
    const std::lock_guard lock(mutex);
    if (const auto found = remembered.find(key); found != remembered.end()) return found->second;
  }
  auto curve = std::make_shared<const RdpCurve>(rdp_curve(event, relation, default_orders()));
  const std::lock_guard lock(mutex);
  if (remembered.size() >= kRememberedCurves) remembered.clear();
  remembered[key] = curve;
  return curve;
}

}  // namespace sotto::accountants

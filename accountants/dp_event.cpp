#include "accountants/dp_event.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

constexpr size_t kShown = 200;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::data, message);
}

// The fields of one object; every key must have been asked for when the event is made.
class Fields {
 public:
  Fields(const json& object, std::string name) : object_(object), name_(std::move(name)) {}

  const json& field(const std::string& key) {
    read_.insert(key);
    if (!object_.contains(key)) refuse(cat(name_, " lacks \"", key, "\""));
    return object_[key];
  }
  double number(const std::string& key) { return number(key, field(key)); }
  double number(const std::string& key, const json& value) const {
    expect(value.is_number(), key, "a number", value);
    return value.get<double>();
  }
  int64_t count(const std::string& key) { return count(key, field(key)); }
  int64_t count(const std::string& key, const json& value) const {
    const bool whole = value.is_number_integer() && value >= 1 && value <= int64_t{1} << 53;
    expect(whole, key, "a whole number from 1 to 2^53", value);
    return value.get<int64_t>();
  }
  const json& list(const std::string& key) {
    const json& value = field(key);
    expect(value.is_array() && !value.empty(), key, "a list that is not empty", value);
    return value;
  }
  std::vector<double> numbers(const std::string& key) {
    std::vector<double> found;
    for (const json& each : list(key)) found.push_back(number(key, each));
    return found;
  }
  Event event() { return event_from_dp_event(field("event")); }
  void expect(bool ok, const std::string& key, const char* what, const json& value) const {
    if (!ok) refuse(cat(name_, ": \"", key, "\" must be ", what, ", got ", value.dump().substr(0, kShown)));
  }
  void finish() const {
    for (const auto& [key, _] : object_.items())
      if (key != "class_name" && key != "module_name" && !read_.contains(key))
        refuse(cat(name_, " has no field \"", key, "\""));
  }

 private:
  const json& object_;
  std::string name_;
  std::set<std::string> read_;
};

Event randomized_response(Fields& fields) {
  const double noise = fields.number("noise_parameter");
  const int64_t buckets = fields.count("num_buckets");
  fields.expect(noise >= 0 && noise <= 1, "noise_parameter", "between 0 and 1", noise);
  if (buckets == 1) return {PostProcessing{}};
  if (noise == 0) return {NonPrivate{}};
  // A few units in the last place cover the quotient, the product and the logarithm.
  const double epsilon = std::log1p(static_cast<double>(buckets) * (1 - noise) / noise) * (1 + 1e-15);
  return {RandomizedResponse{epsilon, buckets}};
}

Event discrete_laplace(Fields& fields) {
  const double parameter = fields.number("noise_parameter");
  fields.expect(parameter > 0 && std::isfinite(parameter), "noise_parameter", "finite and above 0", parameter);
  return {DiscreteLaplace{std::nextafter(1 / parameter, 0), fields.count("sensitivity")}};
}

Event fixed_size(Fields& fields, bool with_replacement) {
  return {FixedSizeSampled{fields.count("sample_size"), fields.count("source_dataset_size"), with_replacement,
                           fields.event()}};
}

Event tree(Fields& fields) {
  const double noise = fields.number("noise_multiplier");
  const json& counts = fields.field("step_counts");
  int64_t most = 0;
  if (counts.is_array())
    for (const json& each : fields.list("step_counts")) most = std::max(most, fields.count("step_counts", each));
  else
    most = fields.count("step_counts");
  return {TreeAggregation{noise, most}};
}

Event mixture(Fields& fields) {
  MixtureOfGaussians found{fields.number("standard_deviation"), {}, {}};
  const auto sensitivities = fields.numbers("sensitivities"), probabilities = fields.numbers("sampling_probs");
  if (sensitivities.size() != probabilities.size())
    refuse(cat("MixtureOfGaussiansDpEvent: ", sensitivities.size(), " sensitivities, but ", probabilities.size(),
               " sampling_probs"));
  std::multimap<double, double> sorted;
  for (size_t i = 0; i < sensitivities.size(); ++i) sorted.emplace(sensitivities[i], probabilities[i]);
  for (const auto& [sensitivity, probability] : sorted) {
    found.sensitivities.push_back(sensitivity);
    found.probabilities.push_back(probability);
  }
  return {std::move(found)};
}

Event composed(Fields& fields) {
  Composed found;
  const json& events = fields.field("events");
  fields.expect(events.is_array(), "events", "a list", events);
  for (const json& each : events) found.events.emplace_back(event_from_dp_event(each));
  return {std::move(found)};
}

using Read = std::function<Event(Fields&)>;

const std::map<std::string, Read>& readers() {
  static const std::map<std::string, Read> found{
      {"NoOpDpEvent", [](Fields&) { return Event{PostProcessing{}}; }},
      {"NonPrivateDpEvent", [](Fields&) { return Event{NonPrivate{}}; }},
      {"GaussianDpEvent", [](Fields& f) { return Event{Gaussian{f.number("noise_multiplier")}}; }},
      {"LaplaceDpEvent", [](Fields& f) { return Event{Laplace{f.number("noise_multiplier")}}; }},
      {"DiscreteLaplaceDpEvent", discrete_laplace},
      {"RandomizedResponseDpEvent", randomized_response},
      {"SelfComposedDpEvent",
       [](Fields& f) {
         const int64_t count = f.count("count");
         return Event{SelfComposed{f.event(), count}};
       }},
      {"ComposedDpEvent", composed},
      {"PoissonSampledDpEvent",
       [](Fields& f) {
         const double rate = f.number("sampling_probability");
         f.expect(rate >= 0 && rate <= 1, "sampling_probability", "between 0 and 1", rate);
         return poisson_sampled(rate, f.event());
       }},
      {"SampledWithReplacementDpEvent", [](Fields& f) { return fixed_size(f, true); }},
      {"SampledWithoutReplacementDpEvent", [](Fields& f) { return fixed_size(f, false); }},
      {"SingleEpochTreeAggregationDpEvent", tree},
      {"MixtureOfGaussiansDpEvent", mixture},
  };
  return found;
}

const std::set<std::string> kWithoutCounterpart{"UnsupportedDpEvent", "RepeatAndSelectDpEvent", "ZCDpEvent",
                                                "TruncatedSubsampledGaussianDpEvent"};

}  // namespace

Event event_from_dp_event(const json& object) {
  if (!object.is_object() || !object.contains("class_name") || !object["class_name"].is_string())
    refuse(cat("not an event of dp-accounting, which has a \"class_name\": ", object.dump().substr(0, kShown)));
  const std::string name = object["class_name"].get<std::string>();
  if (kWithoutCounterpart.contains(name)) return {Unsupported{name}};
  const auto reader = readers().find(name);
  if (reader == readers().end()) {
    std::vector<std::string> known(kWithoutCounterpart.begin(), kWithoutCounterpart.end());
    for (const auto& [each, _] : readers()) known.push_back(each);
    const std::string near = nearest(name, known);
    std::string list;
    for (const std::string& each : known) list += cat(list.empty() ? "" : ", ", each);
    refuse(cat("unknown event \"", name.substr(0, kShown), "\"", near.empty() ? "" : cat("; did you mean ", near, "?"),
               " Known: ", list));
  }
  Fields fields(object, name);
  Event event = reader->second(fields);
  fields.finish();
  return event;
}

}  // namespace sotto::accountants

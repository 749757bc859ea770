#include "accountants/event.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

void check(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorKind::configuration, message);
}

void check_noise(double noise_multiplier) {
  check(std::isfinite(noise_multiplier) && noise_multiplier >= 0,
        cat("noise_multiplier must be finite and at least 0, got ", noise_multiplier));
}

void check_sampled(double noise_multiplier, double sample_rate) {
  check_noise(noise_multiplier);
  check(sample_rate >= 0 && sample_rate <= 1, cat("sample_rate must be between 0 and 1, got ", sample_rate));
}

json sampled(const char* mechanism, double noise_multiplier, double sample_rate) {
  return {{"mechanism", mechanism}, {"noise_multiplier", noise_multiplier}, {"sample_rate", sample_rate}};
}

double take_number(json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) throw Error(ErrorKind::data, cat("event lacks \"", key, "\": ", object.dump()));
  if (!found->is_number())
    throw Error(ErrorKind::data, cat("event has a \"", key, "\" that is no number: ", found->dump()));
  const double value = found->get<double>();
  object.erase(found);
  return value;
}

}  // namespace

void validate(const Event& event) {
  std::visit(
      Overloaded{[](const PoissonSampledGaussian& e) { check_sampled(e.noise_multiplier, e.sample_rate); },
                 [](const Gaussian& e) { check_noise(e.noise_multiplier); },
                 [](const PoissonSampledDiscreteGaussian& e) { check_sampled(e.noise_multiplier, e.sample_rate); }},
      event.mechanism);
}

std::string to_json(const Event& event) {
  validate(event);
  return std::visit(Overloaded{[](const PoissonSampledGaussian& e) {
                                 return sampled("poisson_sampled_gaussian", e.noise_multiplier, e.sample_rate);
                               },
                               [](const Gaussian& e) {
                                 return json{{"mechanism", "gaussian"}, {"noise_multiplier", e.noise_multiplier}};
                               },
                               [](const PoissonSampledDiscreteGaussian& e) {
                                 return sampled("poisson_sampled_discrete_gaussian", e.noise_multiplier, e.sample_rate);
                               }},
                    event.mechanism)
      .dump();
}

Event event_from_json(std::string_view text) {
  json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("mechanism") || !object["mechanism"].is_string())
    throw Error(ErrorKind::data, cat("not an event: ", text.substr(0, 200)));
  const std::string mechanism = object["mechanism"].get<std::string>();
  object.erase("mechanism");
  Event event;
  if (mechanism == "poisson_sampled_gaussian") {
    const double noise_multiplier = take_number(object, "noise_multiplier");
    event.mechanism = PoissonSampledGaussian{noise_multiplier, take_number(object, "sample_rate")};
  } else if (mechanism == "poisson_sampled_discrete_gaussian") {
    const double noise_multiplier = take_number(object, "noise_multiplier");
    event.mechanism = PoissonSampledDiscreteGaussian{noise_multiplier, take_number(object, "sample_rate")};
  } else if (mechanism == "gaussian") {
    event.mechanism = Gaussian{take_number(object, "noise_multiplier")};
  } else {
    throw Error(ErrorKind::data,
                cat("unknown mechanism \"", mechanism,
                    "\"; known: poisson_sampled_gaussian, gaussian, poisson_sampled_discrete_gaussian"));
  }
  if (!object.empty()) throw Error(ErrorKind::data, cat("event has keys that ", mechanism, " lacks: ", object.dump()));
  try {
    validate(event);
  } catch (const Error& error) {
    throw Error(ErrorKind::data, cat("event ", text.substr(0, 200), ": ", error.what()));
  }
  return event;
}

std::string_view to_string(NeighbouringRelation relation) {
  switch (relation) {
    case NeighbouringRelation::add_remove:
      return "add_remove";
    case NeighbouringRelation::replace_one:
      return "replace_one";
    case NeighbouringRelation::zero_out:
      return "zero_out";
  }
  throw Error(ErrorKind::internal, cat("no neighbouring relation has the number ", static_cast<int>(relation)));
}

NeighbouringRelation relation_from_string(std::string_view name) {
  for (const auto relation :
       {NeighbouringRelation::add_remove, NeighbouringRelation::replace_one, NeighbouringRelation::zero_out})
    if (to_string(relation) == name) return relation;
  throw Error(ErrorKind::configuration,
              cat("unknown neighbouring relation \"", name, "\"; known: add_remove, replace_one, zero_out"));
}

}  // namespace sotto::accountants

#include "python/accounting/c_api.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "accountants/accountant.h"
#include "accountants/event_list.h"
#include "base/error.h"
#include "python/accounting/interval.h"

#define SOTTO_VISIBLE __attribute__((visibility("default")))

namespace sotto::python {
namespace {

using nlohmann::json;
using namespace accountants;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::invalid_argument, message);
}

constexpr int kDeepestJson = 80;  // above what events may have

// Without recursion, which a text that comes from outside could exhaust.
json parse_shallow(const char* text) {
  const auto shallow = [](int depth, json::parse_event_t, json&) {
    if (depth > kDeepestJson) refuse(cat("events may be nested ", Nested::kDeepest, " deep at most"));
    return true;
  };
  return json::parse(text, shallow, /*allow_exceptions=*/false);
}

json parse(const char* question) {
  if (!question) refuse("the question is a null pointer");
  json value = parse_shallow(question);
  if (!value.is_object()) refuse("the question is no JSON object");
  return value;
}

template <class Value>
Value take(const json& question, const char* key) {
  if (!question.contains(key)) refuse(cat("the question lacks \"", key, "\""));
  try {
    return question[key].get<Value>();
  } catch (const json::exception&) {
    refuse(cat("\"", key, "\" is ", question[key].dump().substr(0, 200), ", which is of another type"));
  }
}

EventList events_of(const json& events) {
  if (events.is_array() && events.empty()) return {};
  return event_list_from_json(events.dump());
}

double gap_of(const json& question) {
  return question.contains("gap") ? take<double>(question, "gap") : 1e-3;
}

std::unique_ptr<Accountant> accountant_of(const json& question) {
  return make_fixed_schedule_accountant(take<std::string>(question, "accountant"),
                                        relation_from_string(take<std::string>(question, "relation")),
                                        gap_of(question));
}

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

// Whether a bracket is as narrow as the accountant aims for; null where it aims at nothing.
json gap_met(const json& question, const Bracket& found) {
  if (!aims_at_a_gap(take<std::string>(question, "accountant"))) return nullptr;
  if (found.lower == found.upper) return true;
  return std::isfinite(found.upper) && found.upper - found.lower <= gap_of(question) * found.upper;
}

json answer(const json& question) {
  const auto verb = take<std::string>(question, "verb");
  if (verb == "accountants") return {{"accountants", fixed_schedule_accountant_names()}};
  const auto accountant = accountant_of(question);
  if (!question.contains("events")) refuse("the question lacks \"events\"");
  const EventList events = events_of(question["events"]);
  if (verb == "supports") {
    if (supports(*accountant, events)) return {{"supports", true}};
    try {
      compose(*accountant, events);
    } catch (const Error& error) {
      return {{"supports", false}, {"reason", error.what()}};
    }
  }
  compose(*accountant, events);
  if (verb == "epsilon") {
    const Bracket found = accountant->epsilon_bracket(take<double>(question, "delta"));
    return {{"epsilon", number(found.upper)},
            {"epsilon_lower", number(found.lower)},
            {"gap_met", gap_met(question, found)}};
  }
  if (verb == "delta") {
    const Bracket found = accountant->delta_bracket(take<double>(question, "epsilon"));
    return {{"delta", found.upper}, {"delta_lower", found.lower}, {"gap_met", gap_met(question, found)}};
  }
  refuse(cat("unknown verb \"", verb, "\"; known: accountants, supports, epsilon, delta"));
}

json calibrated(const json& question, sotto_accounting_plan plan, void* context) {
  if (!plan) refuse("the plan is a null pointer");
  const Target target{take<double>(question, "epsilon"), take<double>(question, "delta"),
                      take<std::string>(question, "accountant"),
                      relation_from_string(take<std::string>(question, "relation"))};
  const auto plan_at = [&](double value) {
    const char* text = plan(value, context);
    if (!text) throw Error(ErrorKind::interrupted, "the plan could not be made");
    return events_of(parse_shallow(text));
  };
  const bool has_tolerance = question.contains("tolerance") && !question["tolerance"].is_null();
  const Interval interval{take<double>(question, "first"), take<double>(question, "second"),
                          take<bool>(question, "explicit"), take<bool>(question, "whole"),
                          has_tolerance ? std::optional(take<double>(question, "tolerance")) : std::nullopt};
  const Calibration found = calibrate_within(target, interval, plan_at);
  json out{{"value", found.fits->value}, {"epsilon", number(found.fits->epsilon.upper)}, {"refused", nullptr}};
  if (found.fails) {
    out["refused"] = found.fails->value;
    out["refused_lower"] = number(found.fails->epsilon.lower);
  }
  return out;
}

// Runs a call and hands its text out, whatever it throws: nothing may leave through C.
template <class Call>
int run(char** text, const Call& call) {
  if (!text) return 1;
  *text = nullptr;
  int code = 0;
  std::string found;
  try {
    found = call().dump();
  } catch (const Error& error) {
    code = error.kind() == ErrorKind::internal ? 3 : error.kind() == ErrorKind::interrupted ? 1 : 2;
    found = error.what();
  } catch (const std::exception& error) {
    code = 3;
    found = error.what();
  }
  *text = static_cast<char*>(std::malloc(found.size() + 1));
  if (!*text) return 1;
  std::memcpy(*text, found.c_str(), found.size() + 1);
  return code;
}

}  // namespace
}  // namespace sotto::python

extern "C" {

SOTTO_VISIBLE int sotto_accounting_ask(const char* question, char** text) {
  return sotto::python::run(text, [&] { return sotto::python::answer(sotto::python::parse(question)); });
}

SOTTO_VISIBLE int sotto_accounting_calibrate(const char* question, sotto_accounting_plan plan, void* context,
                                             char** text) {
  return sotto::python::run(text,
                            [&] { return sotto::python::calibrated(sotto::python::parse(question), plan, context); });
}

SOTTO_VISIBLE void sotto_accounting_free(char* text) {
  std::free(text);
}
}

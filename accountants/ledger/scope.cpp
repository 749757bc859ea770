#include "accountants/ledger/scope.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace sotto::accountants {
namespace {

struct Dimension {
  const char* name;
  std::string Scope::*path;
  bool contains_people;  // so that above and below both count
};
constexpr Dimension kDimensions[] = {{"organisation", &Scope::organisation, false},
                                     {"data_set", &Scope::data_set, true},
                                     {"purpose", &Scope::purpose, false},
                                     {"team", &Scope::team, false},
                                     {"group", &Scope::group, true}};

}  // namespace

bool within(std::string_view path, std::string_view ancestor) {
  return ancestor.empty() || path == ancestor || (path.starts_with(ancestor) && path[ancestor.size()] == '/');
}

bool within(const Scope& scope, const Scope& limits) {
  return std::ranges::all_of(kDimensions,
                             [&](const Dimension& each) { return within(scope.*each.path, limits.*each.path); });
}

bool concerns(const Scope& scope, const Scope& run) {
  for (const Dimension& each : kDimensions) {
    const std::string &granted = scope.*each.path, &there = run.*each.path;
    if (!within(there, granted) && !(each.contains_people && within(granted, there))) return false;
  }
  return true;
}

bool well_formed(std::string_view path) {
  return path.empty() || (path.front() != '/' && path.back() != '/' && path.find("//") == std::string_view::npos);
}

void validate(const Scope& scope) {
  for (const Dimension& each : kDimensions)
    require(well_formed(scope.*each.path), "the ", each.name, " \"", scope.*each.path,
            "\" has an empty part; write it as clinic/cardiology");
}

nlohmann::json to_fields(const Scope& scope) {
  nlohmann::json fields = nlohmann::json::object();
  for (const Dimension& each : kDimensions)
    if (!(scope.*each.path).empty()) fields[each.name] = scope.*each.path;
  return fields;
}

Scope scope_from_fields(const nlohmann::json& fields) {
  if (!fields.is_object()) throw Error(ErrorKind::data, cat("a ledger row's scope is no object: ", fields.dump()));
  Scope scope;
  for (const auto& [key, value] : fields.items()) {
    const Dimension* found = nullptr;
    for (const Dimension& each : kDimensions)
      if (key == each.name) found = &each;
    if (!found || !value.is_string())
      throw Error(ErrorKind::data,
                  cat("a ledger row's scope has \"", key, "\": ", value.dump(), "; use the sotto that wrote it"));
    scope.*found->path = value.get<std::string>();
  }
  return scope;
}

std::string to_text(const Scope& scope) {
  std::string text;
  for (const Dimension& each : kDimensions)
    if (!(scope.*each.path).empty()) text += cat(text.empty() ? "" : ", ", each.name, " ", scope.*each.path);
  return text.empty() ? "everything" : text;
}

}  // namespace sotto::accountants

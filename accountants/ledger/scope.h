#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace sotto::accountants {

// What a run belongs to, and what a grant covers: five paths, each a hierarchy ("clinic/cardiology"). Empty says
// nothing.
struct Scope {
  std::string organisation = {}, data_set = {}, purpose = {}, team = {}, group = {};
  bool operator==(const Scope&) const = default;
};

// True when `path` is `ancestor` or lies below it; every path lies below the empty one.
bool within(std::string_view path, std::string_view ancestor);
// The same of all five.
bool within(const Scope& scope, const Scope& limits);

// Whether a run there spends from a grant for `scope`. Organisation, purpose and team say who spends: the run must lie
// within them. Data set and group say whose privacy it costs: a run on all adults costs those over 65 too, and a run
// that names no group costs everybody, so there it is enough that one contains the other.
bool concerns(const Scope& scope, const Scope& run);

// Whether no part of the path is empty.
bool well_formed(std::string_view path);
// Throws invalid_argument where a path has an empty part.
void validate(const Scope& scope);

// An object with the paths that are not empty; reading throws data on an unknown key or a value that is no text.
nlohmann::json to_fields(const Scope& scope);
Scope scope_from_fields(const nlohmann::json& fields);

// "organisation clinic, team ml", or "everything".
std::string to_text(const Scope& scope);

}  // namespace sotto::accountants

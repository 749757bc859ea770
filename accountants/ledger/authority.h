#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "accountants/ledger/scope.h"

namespace sotto::accountants {

enum class Role { owner, analyst, revoked };
std::string_view to_string(Role role);
Role role_from_string(std::string_view name);  // throws configuration, listing the known ones

// Somebody with a key. An analyst's runs must lie within `scope`; where a run does not say, it takes the analyst's.
struct Member {
  std::string name, public_key;
  Role role;
  Scope scope;
};

// What an owner allows to be spent within a scope: (epsilon, delta) in each of its periods. Times are seconds (UTC).
struct Grant {
  int64_t row_id = 0;
  Scope scope = {};
  double epsilon = 0, delta = 0;
  int64_t starts = 0;
  std::optional<int64_t> expires = {};     // from then on nothing can be spent within the scope
  std::optional<int64_t> renew_days = {};  // one period from start to end without it
  std::string note = {};

  bool expired(int64_t now) const;
  // The start of the period that `now` is in. Never earlier than starts.
  int64_t period_start(int64_t now) const;
  std::optional<int64_t> period_end(int64_t now) const;
};

// Who may write which rows, and what was granted: read off the rows in order, by the ledger before it writes and by
// verify() as it reads, so that both keep the same rules.
class Authority {
 public:
  // Takes an owner, member or grant row; passes over other kinds. Throws data when the row breaks a rule.
  void apply(int64_t row_id, const nlohmann::json& payload);

  // Without an owner, rows are not signed and anyone who can write the file may write any row.
  bool has_owner() const { return !members_.empty(); }
  const Member* member(std::string_view key_id) const;
  const std::map<std::string, Member, std::less<>>& members() const { return members_; }  // by key id
  const std::vector<Grant>& grants() const { return grants_; }
  // The grant for exactly that scope that has not expired.
  const Grant* current(const Scope& scope, int64_t now) const;

  // Throws configuration unless that key may write a row of that kind. `run_by` is the key that reserved the run of a
  // charge or a release.
  void check_writer(std::string_view kind, std::string_view key_id, std::string_view run_by) const;

 private:
  std::map<std::string, Member, std::less<>> members_;
  std::vector<Grant> grants_;
};

// Throws invalid_argument, naming value and limit: epsilon finite and > 0, delta in (0, 1), a period of at least a day,
// an end after the start.
void validate(const Grant& grant);
nlohmann::json to_fields(const Grant& grant);
nlohmann::json to_fields(const Member& member);

}  // namespace sotto::accountants

#include "accountants/ledger/authority.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "accountants/ledger/calendar.h"
#include "accountants/ledger/payload.h"
#include "accountants/ledger/signing_key.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

using nlohmann::json;

constexpr int64_t kDay = 86'400;

Grant grant_of(int64_t row_id, const json& payload) {
  Grant grant{.row_id = row_id,
              .scope = scope_from_fields(payload.value("scope", json())),
              .epsilon = number_field(payload, "epsilon"),
              .delta = number_field(payload, "delta"),
              .starts = utc_seconds(text_field(payload, "starts")),
              .expires = {},
              .renew_days = {},
              .note = optional_text(payload, "note")};
  if (payload.contains("expires")) grant.expires = utc_seconds(text_field(payload, "expires"));
  if (payload.contains("renew_days")) grant.renew_days = int64_field(payload, "renew_days");
  return grant;
}

}  // namespace

std::string_view to_string(Role role) {
  return role == Role::owner ? "owner" : role == Role::analyst ? "analyst" : "revoked";
}

Role role_from_string(std::string_view name) {
  for (const Role role : {Role::owner, Role::analyst, Role::revoked})
    if (name == to_string(role)) return role;
  throw Error(ErrorKind::configuration, cat("unknown role \"", name, "\"; known are owner, analyst, revoked"));
}

bool Grant::expired(int64_t now) const {
  return expires && now >= *expires;
}

int64_t Grant::period_start(int64_t now) const {
  if (!renew_days || now <= starts) return starts;
  return now - (now - starts) % (*renew_days * kDay);
}

std::optional<int64_t> Grant::period_end(int64_t now) const {
  if (!renew_days) return expires;
  const int64_t end = period_start(now) + *renew_days * kDay;
  return expires ? std::min(end, *expires) : end;
}

void Authority::apply(int64_t row_id, const json& payload) {
  const std::string kind = text_field(payload, "kind");
  const auto fail = [&](const auto&... parts) { throw Error(ErrorKind::data, cat("row ", row_id, " ", parts...)); };
  try {
    if (kind == "owner" || kind == "member") {
      Member member{text_field(payload, "name"), text_field(payload, "public_key"),
                    kind == "owner" ? Role::owner : role_from_string(text_field(payload, "role")),
                    scope_from_fields(payload.value("scope", json::object()))};
      const std::string id = key_id(member.public_key);
      if ((kind == "owner") == has_owner()) fail(has_owner() ? "names a second first owner" : "comes before an owner");
      if (const Member* known = this->member(id); known && known->public_key != member.public_key)
        fail("has a key with another key's id");
      members_[id] = std::move(member);
      const bool owned = std::ranges::any_of(members_, [](const auto& m) { return m.second.role == Role::owner; });
      if (!owned) fail("leaves the ledger without an owner");
    } else if (kind == "grant") {
      Grant grant = grant_of(row_id, payload);
      validate(grant);
      if (const Grant* known = current(grant.scope, utc_seconds(text_field(payload, "at"))))
        fail("grants ", to_text(grant.scope), " again, while the grant of row ", known->row_id, " runs");
      grants_.push_back(std::move(grant));
    }
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::data) throw;
    fail(error.what());
  }
}

const Member* Authority::member(std::string_view key_id) const {
  const auto found = members_.find(key_id);
  return found == members_.end() ? nullptr : &found->second;
}

const Grant* Authority::current(const Scope& scope, int64_t now) const {
  for (const Grant& grant : grants_)
    if (grant.scope == scope && !grant.expired(now)) return &grant;
  return nullptr;
}

void Authority::check_writer(std::string_view kind, std::string_view key_id, std::string_view run_by) const {
  const Member* who = member(key_id);
  const auto fail = [&](const auto&... parts) {
    throw Error(ErrorKind::configuration, cat("the key ", key_id, who ? " of " + who->name : "", " ", parts...));
  };
  if (!who) fail("is not known to this ledger; its owner can add it with `sotto ledger member`");
  if (who->role == Role::revoked) fail("was revoked; ask an owner of the ledger");
  if (who->role == Role::owner) return;
  if (kind == "reserve") return;
  if (kind != "charge" && kind != "release")
    fail("may spend, not write a row of kind ", kind, "; that takes an owner's key");
  if (run_by != key_id) fail("did not reserve this run; the key ", run_by, " did");
}

void validate(const Grant& grant) {
  validate(grant.scope);
  require(std::isfinite(grant.epsilon) && grant.epsilon > 0, "a grant's epsilon must be finite and above 0, got ",
          grant.epsilon);
  require(grant.delta > 0 && grant.delta < 1, "a grant's delta must be above 0 and below 1, got ", grant.delta);
  require(!grant.renew_days || (*grant.renew_days >= 1 && *grant.renew_days <= 36'525),
          "a grant is renewed every 1 to 36525 days, got ", grant.renew_days.value_or(0));
  require(!grant.expires || *grant.expires > grant.starts, "a grant must end after its start, ", utc_text(grant.starts),
          "; it ends ", utc_text(grant.expires.value_or(0)));
}

json to_fields(const Grant& grant) {
  json fields = {{"scope", to_fields(grant.scope)},
                 {"epsilon", grant.epsilon},
                 {"delta", grant.delta},
                 {"starts", utc_text(grant.starts)}};
  if (grant.expires) fields["expires"] = utc_text(*grant.expires);
  if (grant.renew_days) fields["renew_days"] = *grant.renew_days;
  if (!grant.note.empty()) fields["note"] = grant.note;
  return fields;
}

json to_fields(const Member& member) {
  return {{"name", member.name},
          {"public_key", member.public_key},
          {"role", to_string(member.role)},
          {"scope", to_fields(member.scope)}};
}

}  // namespace sotto::accountants

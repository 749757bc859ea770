#include "accountants/ledger/location.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr std::string_view kDefaultSchema = "sotto_ledger";
constexpr size_t kLongestSchema = 63;  // PostgreSQL cuts longer names short
// The options that say where a server is, not who connects or how.
constexpr std::array<std::string_view, 4> kPlaces{"host", "hostaddr", "port", "dbname"};

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// libpq decodes the names of options, too: a password may not hide in %70assword.
std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    out += escape ? static_cast<char>(16 * digit(text[i + 1]) + digit(text[i + 2])) : text[i];
    if (escape) i += 2;
  }
  return out;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorKind::configuration, what);
}

void check_schema(const std::string& name) {
  const bool good =
      !name.empty() && name.size() <= kLongestSchema && (name[0] < '0' || name[0] > '9') &&
      std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
  if (!good)
    fail(cat("a ledger's schema is named with up to ", kLongestSchema, " of a-z, 0-9 and _, and no digit first; got \"",
             name, "\""));
  if (name.starts_with("pg_")) fail(cat("PostgreSQL keeps names like ", name, " to itself; choose another schema"));
}

// A port that is none would be told in an error's text, and may be the password of somebody who forgot the @.
void check_ports(std::string_view hosts) {
  for (std::string_view host : split(hosts, ',')) {
    if (host.starts_with('[')) host.remove_prefix(std::min(host.find(']') + 1, host.size()));
    if (const size_t colon = host.find(':'); colon != std::string_view::npos)
      if (host.find_first_not_of("0123456789", colon + 1) != std::string_view::npos)
        fail("the port of the ledger's server is no number; it is written postgresql://user@host:port/database");
  }
}

}  // namespace

LedgerLocation LedgerLocation::parse(std::string_view text) {
  const std::string_view scheme = text.substr(0, std::min(text.find("://"), text.size()));
  const bool is_server = scheme == "postgresql" || scheme == "postgres";
  if (text.empty()) fail("the ledger's location is empty; name a file or postgresql://host/database");
  if (scheme.size() == text.size() || !is_server) {
    // A scheme that is not ours, or one whose // was tidied away, would silently become a folder's name.
    if (text.starts_with("postgresql:") || text.starts_with("postgres:"))
      fail("a ledger on a server is written postgresql://host/database, with two slashes after the colon");
    if (scheme.size() != text.size() && scheme.find('/') == std::string_view::npos)
      fail(cat("a ledger is a file or a postgresql://host/database, not ", scheme, "://"));
    return LedgerLocation(std::filesystem::path(text));
  }
  std::string_view rest = text.substr(scheme.size() + 3);
  const size_t question = std::min(rest.find('?'), rest.size());
  const std::string_view options = rest.substr(std::min(question + 1, rest.size()));
  std::string_view place = rest.substr(0, question);
  const char* no_password =
      "a ledger's location holds no password, which would be seen in configurations and process lists; leave it out "
      "and put it into ~/.pgpass (mode 0600) or PGPASSWORD";
  // As libpq looks for it: an @ before the first /.
  std::string user;
  if (const size_t at = place.find('@'); at < place.find('/')) {
    user = place.substr(0, at + 1);
    place.remove_prefix(at + 1);
    if (user.find(':') != std::string::npos) fail(no_password);
  }
  // An @ that is left belongs to a user's name or a password that was not escaped; what comes before may be secret.
  if (place.find('@') != std::string_view::npos) fail("a ledger's location has an @ too many; write %40 within a name");
  check_ports(place.substr(0, place.find('/')));

  LedgerLocation location;
  location.schema_ = kDefaultSchema;
  std::string kept, shown;
  for (const std::string_view option : split(options, '&')) {
    const std::string name = decoded(option.substr(0, option.find('=')));
    const std::string_view value = option.substr(std::min(option.find('=') + 1, option.size()));
    if (name == "password" || name == "sslpassword") fail(no_password);
    if (name == "schema") {
      location.schema_ = decoded(value);
      check_schema(location.schema_);
      continue;
    }
    kept += cat(kept.empty() ? "?" : "&", option);
    if (std::ranges::find(kPlaces, name) != kPlaces.end()) shown += cat(shown.empty() ? "?" : "&", option);
  }
  if (location.schema_ != kDefaultSchema) shown += cat(shown.empty() ? "?" : "&", "schema=", location.schema_);
  location.connection_ = cat("postgresql://", user, place, kept);
  location.text_ = cat("postgresql://", place, shown);
  return location;
}

LedgerLocation LedgerLocation::waiting(std::chrono::milliseconds patience) const {
  // 0 would be for ever on a server and not at all for a file; both count in 32 bits.
  require(patience.count() >= 1 && patience.count() <= std::numeric_limits<int32_t>::max(),
          "a ledger waits for other writers from a millisecond to 24 days, not ", patience.count(), " ms");
  LedgerLocation location = *this;
  location.patience_ = patience;
  return location;
}

}  // namespace sotto::accountants

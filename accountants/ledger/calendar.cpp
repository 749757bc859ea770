#include "accountants/ledger/calendar.h"

#include <ctime>

#include "base/error.h"

namespace sotto::accountants {

std::string utc_text(int64_t seconds) {
  const auto moment = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&moment, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

int64_t utc_seconds(std::string_view text) {
  const std::string whole = text.size() == 10 ? std::string(text) + "T00:00:00Z" : std::string(text);
  std::tm parts{};
  const char* end = ::strptime(whole.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  const std::time_t seconds = end && *end == 0 ? ::timegm(&parts) : 0;
  // strptime takes 2026-02-31 and single digits; only what is written back the same is a moment.
  if (!end || *end != 0 || utc_text(seconds) != whole)
    throw Error(ErrorKind::data, cat("\"", text, "\" is no time; write 2027-01-31 or 2027-01-31T12:00:00Z (UTC)"));
  return seconds;
}

}  // namespace sotto::accountants

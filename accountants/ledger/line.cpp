#include "accountants/ledger/line.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "base/hash.h"

namespace sotto::accountants {
namespace {

// Reads a canonical text from the left; after the first thing that is not as expected, `good` stays false.
struct Reader {
  std::string_view rest;
  bool good = true;

  void skip(std::string_view literal) {
    good = good && rest.starts_with(literal);
    if (good) rest.remove_prefix(literal.size());
  }
  bool next_is(std::string_view literal) const { return good && rest.starts_with(literal); }

  // A text up to its quote. One with an escape is left to the JSON reader.
  std::string_view text() {
    const size_t end = rest.find('"');
    good = good && end != std::string_view::npos;
    if (!good) return {};
    const std::string_view found = rest.substr(0, end);
    for (const char c : found) good = good && c != '\\' && static_cast<unsigned char>(c) >= 0x20 && !(c & 0x80);
    rest.remove_prefix(end + 1);
    return found;
  }

  template <class Number>
  Number number() {
    Number value{};
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    good = good && error == std::errc();
    if (!good) return value;
    const std::string_view found(rest.data(), static_cast<size_t>(end - rest.data()));
    // One number has one text: 07 or 1e0 in the place of 7 or 1.0 is not what the ledger writes.
    char text[64];
    const char* text_end;
    if constexpr (std::is_integral_v<Number>)
      text_end = std::to_chars(text, text + sizeof text, value).ptr;
    else
      text_end = std::isfinite(value) ? nlohmann::detail::to_chars(text, text + sizeof text, value) : text;
    good = std::string_view(text, static_cast<size_t>(text_end - text)) == found;
    rest.remove_prefix(found.size());
    return value;
  }
};

bool same_digits(std::string_view hash, const Digest& digest) {
  static constexpr char digits[] = "0123456789abcdef";
  bool same = hash.size() == 2 * digest.size();
  for (size_t i = 0; same && i < digest.size(); ++i)
    same = hash[2 * i] == digits[digest[i] >> 4] && hash[2 * i + 1] == digits[digest[i] & 15];
  return same;
}

}  // namespace

void inspect(Line& line) {
  line.hash_holds = same_digits(line.hash, sha256(line.payload));
  Reader in{line.payload};
  in.skip("{\"at\":\"");
  line.at = in.text();
  line.by = {};
  if (in.next_is(",\"by\":\"")) {
    in.skip(",\"by\":\"");
    line.by = in.text();
  }
  in.skip(",\"epsilon\":");
  line.epsilon = in.number<double>();
  in.skip(",\"first_step\":");
  line.first_step = in.number<int64_t>();
  in.skip(",\"id\":");
  line.said_id = in.number<int64_t>();
  in.skip(",\"kind\":\"charge\",\"last_step\":");
  line.last_step = in.number<int64_t>();
  in.skip(",\"previous\":\"");
  line.previous = in.text();
  in.skip(",\"run_id\":\"");
  line.run_id = in.text();
  line.plain_charge = in.good && in.rest == "}";
  line.columns_hold =
      !line.columns || *line.columns == LedgerReader::Columns{"charge", line.run_id, line.first_step, line.last_step};
}

}  // namespace sotto::accountants

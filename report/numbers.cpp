#include "report/numbers.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace sotto::report {
namespace {

// The text of `value` with so many digits that the next number with as many is `toward` it: printed, read back, held
// against the value and moved by one unit of the last digit where it is on the wrong side.
std::string significant(double value, int digits, double toward) {
  const auto text_of = [&](double number) {
    std::array<char, 64> text;
    const auto [end, error] =
        std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::general, digits);
    return std::string(text.data(), end);
  };
  std::string text = text_of(value);
  if (value == 0 || !std::isfinite(value)) return text;
  const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - digits + 1);
  for (double more = 0.5; (std::strtod(text.c_str(), nullptr) - value) * toward < 0; more += 0.5)
    text = text_of(value + toward * more * unit);
  const size_t exponent = text.find("e-0");  // 1e-05 → 1e-5
  if (exponent != std::string::npos) text.erase(exponent + 2, 1);
  return text;
}

}  // namespace

std::string significant_up(double value, int digits) {
  return significant(value, digits, 1);
}

std::string significant_down(double value, int digits) {
  return significant(value, digits, -1);
}

std::string rounded(double value, int digits) {
  std::array<char, 400> text;  // the longest double has 309 digits before the point
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, digits);
  return error == std::errc() ? std::string(text.data(), end) : exact(value);
}

std::string round_up(double value, int digits) {
  const std::string nearest = rounded(value, digits);
  if (!(std::strtod(nearest.c_str(), nullptr) < value)) return nearest;  // NaN stays NaN
  // Half a last digit more and the nearest is the next one up; a second time where that addition itself rounded down.
  const double last_digit = std::pow(10.0, -digits);
  for (double more = 0.5;; more += 0.5) {
    const std::string next = rounded(value + more * last_digit, digits);
    if (std::strtod(next.c_str(), nullptr) >= value) return next;
  }
}

std::string exact(double value) {
  std::array<char, 64> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  std::string out(text.data(), end);
  const size_t exponent = out.find("e-0");  // 1e-05 → 1e-5
  if (exponent != std::string::npos) out.erase(exponent + 2, 1);
  return out;
}

std::string counted(int64_t value) {
  std::string out = std::to_string(value);
  const int64_t first = value < 0 ? 1 : 0;
  for (auto at = static_cast<int64_t>(out.size()) - 3; at > first; at -= 3) out.insert(static_cast<size_t>(at), ",");
  return out;
}

std::string odds_factor(double epsilon) {
  const double factor = std::exp(epsilon);
  if (!(factor < 1e6)) return "e^" + round_up(epsilon, 4);
  return round_up(factor, 2);
}

}  // namespace sotto::report

#include "data/split.h"

#include <string>

#include "base/hash.h"

namespace sotto::data {
namespace {

int64_t hash_modulo(std::string_view text, int64_t modulus) {
  int64_t remainder = 0;
  for (const uint8_t byte : sha256(text)) remainder = (remainder * 256 + byte) % modulus;
  return remainder;
}

}  // namespace

bool SplitRule::is_test(std::string_view unit) const {
  return hash_modulo(unit, modulus) == test_remainder;
}

// The prefix makes the second hash independent of the first: without it every validation unit would be a test unit.
bool SplitRule::is_validation(std::string_view unit) const {
  return hash_modulo("validation:" + std::string(unit), validation_modulus) == validation_remainder;
}

bool SplitRule::holds(Split split, std::string_view unit) const {
  if (split == Split::all || split == Split::every_row) return true;
  if (split == Split::test) return is_test(unit);
  if (is_test(unit)) return false;
  if (split == Split::train) return true;
  return is_validation(unit) == (split == Split::validation);
}

}  // namespace sotto::data

#pragma once
#include <cstdint>
#include <string_view>

namespace sotto::data {

// Which rows of a data set are wanted. The first five apply the preparation (unit rule, then exclusions); every_row
// applies none of it, needs neither label nor unit column, and is what `predict` scores.
enum class Split { train, train_without_validation, validation, test, all, every_row };

// The split of a unit depends on its id alone, so that it stays when rows are added, removed or reordered.
// With H = SHA-256 read as a big-endian integer:  test if H(id) mod modulus = test_remainder, else train;
// a training unit is also of the validation split if H("validation:" + id) mod validation_modulus =
// validation_remainder.
struct SplitRule {
  int64_t modulus = 5, test_remainder = 0;
  int64_t validation_modulus = 5, validation_remainder = 0;

  bool is_test(std::string_view unit) const;
  bool is_validation(std::string_view unit) const;  // of a unit that is not test
  bool holds(Split split, std::string_view unit) const;
};

}  // namespace sotto::data

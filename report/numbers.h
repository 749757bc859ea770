#pragma once
#include <cstdint>
#include <string>

namespace sotto::report {

// `value` with `digits` decimals, never below it: what is printed about a leak may overstate it and never understates.
std::string round_up(double value, int digits);
// `digits` significant digits, never below it, or never above it: for bounds of any size.
std::string significant_up(double value, int digits);
std::string significant_down(double value, int digits);
// To the nearest, for quantities that are not promises.
std::string rounded(double value, int digits);
// The shortest text that reads back as the same double: 1e-5, 0.25, 3.
std::string exact(double value);
// 55743 → 55,743.
std::string counted(int64_t value);
// e^epsilon rounded up; from 10^6 on as a power, e^20.0000.
std::string odds_factor(double epsilon);

}  // namespace sotto::report

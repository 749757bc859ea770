#include "base/fault_point.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace sotto {

void fault_point(std::string_view name) {
  static const char* const plan = std::getenv("SOTTO_FAULT_POINT");
  if (!plan) return;
  static const std::string text = plan;
  static const size_t colon = text.rfind(':');
  static long left = colon == std::string::npos ? 1 : std::strtol(text.c_str() + colon + 1, nullptr, 10);
  if (text.substr(0, colon) != name || --left > 0) return;
  std::fprintf(stderr, "killed at %s\n", plan);
  std::raise(SIGKILL);
}

}  // namespace sotto

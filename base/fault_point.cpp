#include "base/fault_point.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace sotto {

void fault_point(std::string_view name) {
  // Read anew each time, so that a test may fork and give the plan to the child alone.
  const char* const plan = std::getenv("SOTTO_FAULT_POINT");
  if (!plan) return;
  std::string_view text = plan;
  const bool stops = text.starts_with("stop:");
  if (stops) text.remove_prefix(5);
  const size_t colon = text.rfind(':');
  if (text.substr(0, colon) != name) return;
  static std::atomic<long> arrivals = 0;
  const long wanted = colon == std::string_view::npos ? 1 : std::strtol(text.data() + colon + 1, nullptr, 10);
  const long arrival = ++arrivals;
  if (stops && arrival == wanted) std::raise(SIGSTOP);
  if (stops || arrival < wanted) return;
  std::fprintf(stderr, "killed at %s\n", plan);
  std::raise(SIGKILL);
}

}  // namespace sotto

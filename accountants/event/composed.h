#pragma once
#include <cstdint>
#include <vector>

#include "accountants/event/nested.h"

namespace sotto::accountants {

// `count` independent uses of one event.
struct SelfComposed {
  Nested event;
  int64_t count;
  bool operator==(const SelfComposed&) const = default;
};

// One use of each.
struct Composed {
  std::vector<Nested> events;
  bool operator==(const Composed&) const = default;
};

}  // namespace sotto::accountants

#include "accountants/event/nested.h"

#include <algorithm>

#include "accountants/event/fields.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

void limit(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorKind::configuration, message);
}

}  // namespace

Nested::Nested(const Event& event) {
  const auto take = [&](const Nested& inner) {
    depth_ = std::max(depth_, inner.depth_ + 1);
    size_ += inner.size_;
    limit(size_ < kMost, cat("an event may count at most ", kMost, " events in all; compose parts of it one by one"));
  };
  std::visit(
      [&](const auto& mechanism) {
        for_each_field(mechanism, [&](const auto&, const auto& value) {
          using Value = std::decay_t<decltype(value)>;
          if constexpr (std::is_same_v<Value, Nested>) take(value);
          if constexpr (std::is_same_v<Value, std::vector<Nested>>) std::for_each(value.begin(), value.end(), take);
        });
      },
      event.mechanism);
  limit(depth_ < kDeepest, cat("events may be nested ", kDeepest, " deep at most; write the composition flatter"));
  event_ = std::make_shared<const Event>(event);
}

bool operator==(const Nested& a, const Nested& b) {
  return a.event_ == b.event_ || *a == *b;
}

}  // namespace sotto::accountants

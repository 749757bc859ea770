#pragma once
#include <cstdint>
#include <memory>

namespace sotto::accountants {

struct Event;

// An event within an event: an immutable value, cheap to copy, equal where the events are. No event is more than
// kDeepest levels deep or counts more than kMost events in all, so that whoever walks one may recurse; making a larger
// one throws configuration.
class Nested {
 public:
  static constexpr int kDeepest = 16;
  static constexpr int64_t kMost = 65536;

  Nested(const Event& event);  // implicit: PoissonSampled{0.1, Event{Laplace{1}}}
  const Event& operator*() const { return *event_; }
  const Event* operator->() const { return event_.get(); }
  int depth() const { return depth_; }
  int64_t size() const { return size_; }
  friend bool operator==(const Nested& a, const Nested& b);

 private:
  std::shared_ptr<const Event> event_;
  int depth_ = 1;
  int64_t size_ = 1;
};

}  // namespace sotto::accountants

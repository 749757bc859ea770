#include "base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace sotto {
namespace {

// Ten redraws a second look smooth; a log wants a line only now and then.
constexpr std::chrono::milliseconds kRedraw{100}, kLine{5000};
constexpr int kBarWidth = 20;

std::string two_digits(int64_t value) {
  return (value < 10 ? "0" : "") + std::to_string(value);
}

}  // namespace

std::string duration_text(double seconds) {
  const int64_t whole = std::llround(std::clamp(seconds, 0.0, 1e15));
  if (whole < 60) return cat(whole, " s");
  if (whole < 3600) return cat(whole / 60, " min ", two_digits(whole % 60), " s");
  return cat(whole / 3600, " h ", two_digits(whole % 3600 / 60), " min");
}

bool standard_error_is_terminal() {
  const char* kind = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) && kind && std::string_view(kind) != "dumb";
}

Progress::Progress(int64_t total, bool terminal, std::FILE* out)
    : total_(std::max<int64_t>(total, 1)), terminal_(terminal), out_(out) {}

Progress::~Progress() {
  if (open_) std::fputc('\n', out_);
}

std::string Progress::line(int64_t done, const std::string& fields, Clock::time_point now) const {
  const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total_), 0.0, 1.0);
  std::string out = cat(done, "/", total_, "  ", fields);
  if (terminal_) {
    std::string bar;
    for (int i = 0; i < kBarWidth; ++i) bar += i < std::lround(share * kBarWidth) ? "█" : "░";
    out = cat(bar, " ", std::lround(share * 100), " %  ", out);
  }
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  if (done >= total_) return cat(out, "  done in ", duration_text(elapsed));
  if (done == first_) return out;  // no step timed yet
  const double left = elapsed / static_cast<double>(done - first_) * static_cast<double>(total_ - done);
  return cat(out, "  ", duration_text(left), " left");
}

void Progress::show(int64_t done, const std::string& fields, Clock::time_point now) {
  const bool first = first_ < 0;
  if (first) first_ = done, start_ = now;
  if (!first && done < total_ && now - last_ < (terminal_ ? kRedraw : kLine)) return;
  last_ = now;
  // \r goes back to the start; ESC[K clears what a longer line left behind.
  std::fprintf(out_, terminal_ ? "\r%s\033[K" : "%s\n", line(done, fields, now).c_str());
  std::fflush(out_);
  open_ = terminal_;
}

void Progress::say(const std::string& line) {
  std::fprintf(out_, "%s%s\n", open_ ? "\r\033[K" : "", line.c_str());
  std::fflush(out_);
  open_ = false;
}

}  // namespace sotto

#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace sotto {

// How far a long run is, on standard error: one redrawn line on a terminal, else a plain line every few seconds.
// Nothing is written for most calls of show(), so it may be called every step.
class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  Progress(int64_t total, bool terminal, std::FILE* out = stderr);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();  // ends a redrawn line, so that what follows starts on its own

  // `done` of total; `fields` is ready text: "loss 0.412  ε 0.83 of 1.00  5200 samples/s". The last step is always
  // shown.
  void show(int64_t done, const std::string& fields, Clock::time_point now = Clock::now());
  // Writes a line of its own above the redrawn one.
  void say(const std::string& line);

 private:
  std::string line(int64_t done, const std::string& fields, Clock::time_point now) const;

  int64_t total_;
  bool terminal_;
  std::FILE* out_;
  Clock::time_point start_, last_;
  int64_t first_ = -1;  // the step of the first call: a resumed run does not start at 0
  bool open_ = false;   // whether an unfinished line stands on the terminal
};

// Whether standard error is a terminal that can redraw a line.
bool standard_error_is_terminal();

// "4 s", "2 min 05 s", "3 h 20 min".
std::string duration_text(double seconds);

}  // namespace sotto

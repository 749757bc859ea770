#include "base/progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

namespace sotto {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A progress line whose output can be read back.
class ProgressTest : public testing::Test {
 protected:
  ~ProgressTest() override { std::fclose(file); }
  std::string written() {
    std::fflush(file);
    std::string out(static_cast<size_t>(std::ftell(file)), '\0');
    std::rewind(file);
    EXPECT_EQ(std::fread(out.data(), 1, out.size(), file), out.size());
    return out;
  }
  std::FILE* file = std::tmpfile();
  Progress::Clock::time_point start = Progress::Clock::now();
};

TEST_F(ProgressTest, PlainLinesComeEveryFewSecondsAndAtTheEnd) {
  Progress progress(400, false, file);
  for (int step = 0; step <= 400; ++step) progress.show(step, "loss 0.5", start + milliseconds(50) * step);  // 20 s
  EXPECT_EQ(written(),
            "0/400  loss 0.5\n"
            "100/400  loss 0.5  15 s left\n"
            "200/400  loss 0.5  10 s left\n"
            "300/400  loss 0.5  5 s left\n"
            "400/400  loss 0.5  done in 20 s\n");
}

TEST_F(ProgressTest, TerminalRedrawsOneLineAndEndsIt) {
  std::optional<Progress> progress;
  progress.emplace(1000, true, file);
  for (int step = 0; step < 1000; ++step) progress->show(step, "loss 0.5", start + milliseconds(step));  // 1 s
  progress.reset();
  const std::string out = written();
  EXPECT_EQ(std::count(out.begin(), out.end(), '\r'), 10);  // ten redraws a second
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
  EXPECT_EQ(out.back(), '\n');
  EXPECT_NE(out.find("90 %  900/1000  loss 0.5  0 s left"), std::string::npos) << out;
}

TEST_F(ProgressTest, MessagesStandOnTheirOwnLine) {
  Progress progress(10, true, file);
  progress.show(1, "a", start);
  progress.say("checkpoint saved");
  progress.show(2, "b", start + seconds(1));
  const std::string out = written();
  EXPECT_NE(out.find("\r\033[Kcheckpoint saved\n\r"), std::string::npos) << out;
}

TEST_F(ProgressTest, ResumedRunCountsItsOwnStepsForTheTimeLeft) {
  Progress progress(100, false, file);
  progress.show(50, "x", start);
  progress.show(60, "x", start + seconds(10));
  EXPECT_EQ(written(), "50/100  x\n60/100  x  40 s left\n");
}

TEST(DurationText, IsReadable) {
  EXPECT_EQ(duration_text(0.4), "0 s");
  EXPECT_EQ(duration_text(59.4), "59 s");
  EXPECT_EQ(duration_text(59.6), "1 min 00 s");
  EXPECT_EQ(duration_text(125), "2 min 05 s");
  EXPECT_EQ(duration_text(12000), "3 h 20 min");
  EXPECT_EQ(duration_text(-3), "0 s");
}

}  // namespace
}  // namespace sotto

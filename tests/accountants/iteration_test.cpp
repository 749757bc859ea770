#include "accountants/iteration.h"

#include <gtest/gtest.h>

#include "accountants/rdp/closed_forms.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr ContractiveDescent kDescent{1, 4, 0.5, 3, 100, true, true};

TEST(Iteration, TheLastRecordPaysForAReplacedGaussianAndEarlierOnesLess) {
  // Replacing a record moves its gradient by up to 2L: μ = 2/3.
  EXPECT_NEAR(rdp_by_iteration(kDescent, 100, 5), rdp_gaussian(2.0 / 3, 5), 1e-14);
  EXPECT_NEAR(rdp_by_iteration(kDescent, 1, 5), 5 * 2 / 9.0 / 100, 1e-16);
  double before = 0;
  for (int64_t place = 1; place <= 100; ++place) {
    EXPECT_GT(rdp_by_iteration(kDescent, place, 5), before);
    before = rdp_by_iteration(kDescent, place, 5);
  }
}

TEST(Iteration, EachAssumptionIsAskedFor) {
  const auto refused = [](auto change, const char* why) {
    ContractiveDescent descent = kDescent;
    change(descent);
    try {
      rdp_by_iteration(descent, 1, 2);
      ADD_FAILURE() << why;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::configuration);
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
  };
  refused([](auto& d) { d.convex = false; }, "convex");
  refused([](auto& d) { d.only_last_iterate_released = false; }, "secret");
  refused([](auto& d) { d.step_size = 0.51; }, "step size");
  for (const int64_t place : {0, 101}) EXPECT_THROW(rdp_by_iteration(kDescent, place, 2), Error);
  EXPECT_THROW(rdp_by_iteration(kDescent, 1, 1), Error);
  ContractiveDescent silent = kDescent;
  silent.noise_deviation = 0;
  EXPECT_THROW(rdp_by_iteration(silent, 1, 2), Error);
}

}  // namespace
}  // namespace sotto::accountants

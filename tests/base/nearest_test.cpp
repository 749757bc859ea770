#include "base/nearest.h"

#include <gtest/gtest.h>

namespace sotto {
namespace {

TEST(Nearest, FewestEditsWinAndFarNamesAreNoHelp) {
  const std::vector<std::string> names = {"epsilon", "delta", "clip_norm", "noise_multiplier"};
  EXPECT_EQ(nearest("epsilno", names), "epsilon");
  EXPECT_EQ(nearest("Delta", names), "delta");
  EXPECT_EQ(nearest("clipnorm", names), "clip_norm");
  EXPECT_EQ(nearest("zzz", names), "");
  EXPECT_EQ(nearest("", names), "");
  EXPECT_EQ(nearest("epsilon", {}), "");
}

}  // namespace
}  // namespace sotto

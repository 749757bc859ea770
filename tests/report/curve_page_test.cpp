#include "report/curve_page.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/report/fixture.h"

namespace sotto::report {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string page() {
  return own_text(curve_page("Cost & <loss>", {{"Plan", "ten steps <b>"}},
                             {{"pld", {{1e-9, {1.25, 1.2501}}, {1e-5, {0.5, 0.50004}}}},
                              {"rdp", {{1e-9, {0, kInfinity}}, {1e-5, {0, 0.75}}}}}));
}

TEST(CurvePage, HasEveryNumberRoundedAwayFromTheTruth) {
  const std::string text = page();
  for (const char* cells :
       {"<td>pld</td><td><span class=\"whole\">1e-9</span></td><td>1.25</td><td>1.2501</td>",
        "<td>pld</td><td><span class=\"whole\">1e-5</span></td><td>0.5</td><td>0.50004</td>",
        "<td>rdp</td><td><span class=\"whole\">1e-5</span></td><td>0</td><td>0.75</td>"})
    EXPECT_TRUE(has(text, cells)) << cells;
}

TEST(CurvePage, SaysWhereThereIsNoBoundAndDrawsItNot) {
  const std::string text = page();
  EXPECT_TRUE(has(text, "<td>rdp</td><td><span class=\"whole\">1e-9</span></td><td>0</td><td>no bound</td>"));
  for (const char* infinity : {"Infinity", ">inf", "[inf", ",inf"}) EXPECT_FALSE(has(text, infinity)) << infinity;
  EXPECT_TRUE(has(text, R"("name":"rdp: at most","role":"baseline","mode":"lines+markers","x":[0.00001],"y":[0.75])") ||
              has(text, R"("name":"rdp: at most","role":"baseline","mode":"lines+markers","x":[1e-05],"y":[0.75])"));
}

TEST(CurvePage, DrawsALowerLineOnlyWhereSomethingIsKnownFromBelow) {
  const std::string text = page();
  EXPECT_TRUE(has(text, "pld: at least"));
  EXPECT_FALSE(has(text, "rdp: at least"));
}

TEST(CurvePage, TextCannotBecomeMarkup) {
  const std::string text = page();
  EXPECT_TRUE(has(text, "Cost &amp; &lt;loss&gt;"));
  EXPECT_TRUE(has(text, "ten steps &lt;b&gt;"));
  EXPECT_FALSE(has(text, "<b>"));
}

}  // namespace
}  // namespace sotto::report

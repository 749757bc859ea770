#include "report/roofline_page.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "report/plotly.h"
#include "tests/report/fixture.h"

namespace sotto::report {
namespace {

Json kernel(const std::string& name, double ms, double composite_ms, double bytes, double flops) {
  const double moving = 1e3 * bytes / 20e9, computing = 1e3 * flops / 100e9, floor = std::max(moving, computing);
  return {{"kernel", name},
          {"folder", "row_norms"},
          {"shape", {{"B", 64}, {"P", 1000}}},
          {"time_ms", ms},
          {"composite_ms", composite_ms},
          {"speedup", composite_ms / ms},
          {"bytes", bytes},
          {"flops", flops},
          {"gigabytes_per_second", bytes / ms / 1e6},
          {"gigaflops", flops / ms / 1e6},
          {"percent_of_copy", 100 * moving / ms},
          {"percent_of_matmul", 100 * computing / ms},
          {"floor_ms", floor},
          {"percent_of_floor", 100 * floor / ms},
          {"bound", moving >= computing ? "memory" : "compute"},
          {"disagreement", 1e-6},
          {"composite", "vector_norm, square"}};
}

Json fixture_roofline() {
  return {{"format_version", 1},
          {"date", "2026-11-23T09:14:11Z"},
          {"machine",
           {{"device", "cpu"},
            {"name", "Imaginary 9000"},
            {"instruction_set", "AVX-512"},
            {"threads", 2},
            {"cores", 4}}},
          {"versions", {{"sotto", "0.1.0"}, {"LibTorch", "2.11.0"}, {"CUDA toolkit", "13.0"}, {"CUDA driver", "none"}}},
          {"rounds", 15},
          {"copy", {{"gigabytes_per_second", 20.0}, {"bytes", 536870912}}},
          {"matmul", {{"gigaflops", 100.0}, {"size", 2048}, {"dtype", "float32"}}},
          {"kernels",
           {kernel("slow_norms", 2.5, 1.25, 4e6, 1e6), kernel("fast_product", 0.125, 0.5, 1e6, 1e7),
            kernel("cached_sum", 0.01, 0.0125, 1e6, 5e5)}}};
}

TEST(RooflinePage, HasEveryNumberUnderItsHeading) {
  const std::string page = own_text(roofline_page(fixture_roofline()));
  for (const char* words : {"Imaginary 9000", "AVX-512", "2 of 4 cores", "2026-11-23T09:14:11Z", "20.0 GB/s", "100 GFLOP/s",
                            "512 MiB a copy", "2,048 × 2,048", "0.1.0", "2.11.0", "slow_norms", "fast_product", "B=64 P=1000"})
    EXPECT_TRUE(has(page, words)) << words;
  // Bound by memory: 0.2 of 2.5 ms, 1.6 of 20 GB/s, 0.4 of 100 GFLOP/s, half as fast.
  EXPECT_TRUE(has(page, "<td>2.50</td><td>0.200</td><td>8.00</td><td>memory</td><td>1.60</td><td>8.00</td><td>0.400</td>"
                        "<td>0.400</td><td>1.25</td><td>0.50</td><td>4.00</td><td>1.00</td><td>vector_norm, square</td>"));
  // By arithmetic: 0.1 of 0.125 ms.
  EXPECT_TRUE(has(page, "<td>0.125</td><td>0.100</td><td>80.0</td><td>compute</td><td>8.00</td><td>40.0</td><td>80.0</td>"
                        "<td>80.0</td><td>0.500</td><td>4.00</td><td>1.00</td><td>10.0</td><td>vector_norm, square</td>"));
  EXPECT_TRUE(has(page, "2 of 3"));  // at half the floor's speed or better
}

TEST(RooflinePage, RoofsMeetWhereCopyAndMatmulTakeEquallyLong) {
  const std::string page = own_text(roofline_page(fixture_roofline()));
  const size_t begin = page.find('[', page.find("id=\"figures\"")), end = page.find("</script>", begin);
  const Json plots = Json::parse(page.substr(begin, end - begin));
  ASSERT_EQ(plots.size(), 2u);
  const Json &copy = plots[0]["traces"][0], &matmul = plots[0]["traces"][1], &dots = plots[0]["traces"][3];
  EXPECT_EQ(copy["x"][1], 5.0);  // 100 GFLOP/s ÷ 20 GB/s
  EXPECT_EQ(copy["y"][1], 100.0);
  EXPECT_DOUBLE_EQ(copy["y"][0].get<double>() / copy["x"][0].get<double>(), 20);
  EXPECT_EQ(matmul["x"][0], 5.0);
  EXPECT_EQ(matmul["y"], (Json{100.0, 100.0}));
  EXPECT_EQ(dots["x"], (Json{0.25, 10.0, 0.5}));
  EXPECT_DOUBLE_EQ(dots["y"][1].get<double>(), 80);
  EXPECT_DOUBLE_EQ(plots[0]["traces"][2]["y"][1].get<double>(), 20);  // the composite: 4 times as slow
  EXPECT_EQ(plots[1]["traces"][0]["x"], (Json{1.25, 4.0}));
  EXPECT_EQ(plots[1]["traces"][1]["x"], Json::array({0.5}));
  EXPECT_EQ(plots[1]["y"]["order"].size(), 3u);
}

TEST(RooflinePage, TextIsInert) {
  const std::string attack = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`";
  Json roofline = fixture_roofline();
  roofline["date"] = roofline["machine"]["name"] = roofline["machine"]["instruction_set"] = roofline["matmul"]["dtype"] = attack;
  roofline["versions"] = {{attack, attack}};
  Json& row = roofline["kernels"][0];
  row["kernel"] = row["composite"] = row["bound"] = attack;
  row["shape"] = {{attack, 1}};
  const std::string page = own_text(roofline_page(roofline));
  EXPECT_EQ(count_of(page, "<script"), 3u);
  EXPECT_EQ(count_of(page, "</script"), 3u);
  EXPECT_FALSE(has(page, "<img"));
  // Plotly reads markup in hover text and tick labels: there the text stands escaped, too.
  const size_t begin = page.find("id=\"figures\""), end = page.find("</script>", begin);
  const std::string figures = page.substr(begin, end - begin);
  EXPECT_TRUE(has(figures, "&lt;img src=x"));
  EXPECT_FALSE(has(figures, "\\u003cimg"));
}

TEST(RooflinePage, FieldThatIsMissingOrOfAnotherKindIsNamed) {
  const auto folder = test_folder() / "out";
  const auto refusal = [&](const std::function<void(Json&)>& spoil) {
    Json roofline = fixture_roofline();
    spoil(roofline);
    return message_of([&] { write_roofline(folder, roofline); });
  };
  EXPECT_TRUE(has(refusal([](Json& r) { r.erase("copy"); }), "`copy`"));
  EXPECT_TRUE(has(refusal([](Json& r) { r["kernels"][1].erase("time_ms"); }), "`kernels[1].time_ms`"));
  EXPECT_TRUE(has(refusal([](Json& r) { r["kernels"][0]["shape"]["B"] = "many"; }), "`kernels[0].shape.B`"));
  EXPECT_TRUE(has(refusal([](Json& r) { r["machine"]["threads"] = 1.5; }), "`machine.threads`"));
  EXPECT_TRUE(has(refusal([](Json& r) { r["kernels"] = Json::array(); }), "`kernels` is empty"));
  EXPECT_FALSE(std::filesystem::exists(folder));
}

// Also what tests/report/screenshot_test.py opens in a browser.
TEST(RooflinePage, IsWrittenWithItsJson) {
  const char* wanted = std::getenv("SOTTO_ROOFLINE_FIXTURE");
  const auto folder = wanted ? std::filesystem::path(wanted) : test_folder() / "roofline";
  write_roofline(folder, fixture_roofline());
  EXPECT_EQ(read_object(folder / "roofline.json"), fixture_roofline());
  EXPECT_EQ(read_file(folder / "roofline.html"), roofline_page(fixture_roofline()));
  EXPECT_GT(std::filesystem::file_size(folder / "roofline.html"), plotly_source().size());
}

TEST(RooflinePage, FolderThatCannotBeMadeIsNamed) {
  const auto file = test_folder() / "file";
  write_file(file, "");
  EXPECT_TRUE(has(message_of([&] { write_roofline(file / "out", fixture_roofline()); }, ErrorKind::io), "file"));
}

}  // namespace
}  // namespace sotto::report

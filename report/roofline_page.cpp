#include "report/roofline_page.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "report/numbers.h"
#include "report/page.h"

namespace sotto::report {
namespace {

constexpr double kPoor = 50;  // percent of the floor below which a kernel is named

struct Kernel {
  std::string name, shape, composite, bound;
  double time_ms, composite_ms, speedup, bytes, flops, gigabytes_per_second, gigaflops, percent_of_copy,
      percent_of_matmul, floor_ms, percent_of_floor;
  std::string label() const { return name + (shape.empty() ? "" : "  " + shape); }
};

Kernel read_kernel(const Fields& row) {
  std::string shape;
  const Fields sizes = row.object("shape");
  for (const std::string& letter : sizes.names())
    shape += cat(shape.empty() ? "" : " ", letter, "=", sizes.integer(letter));
  return {row.text("kernel"),
          shape,
          row.text("composite"),
          row.text("bound"),
          row.number("time_ms"),
          row.number("composite_ms"),
          row.number("speedup"),
          row.number("bytes"),
          row.number("flops"),
          row.number("gigabytes_per_second"),
          row.number("gigaflops"),
          row.number("percent_of_copy"),
          row.number("percent_of_matmul"),
          row.number("floor_ms"),
          row.number("percent_of_floor")};
}

// Three significant digits, for quantities of any size.
std::string brief(double value) {
  if (!(std::abs(value) > 0)) return "0";
  const int before = static_cast<int>(std::floor(std::log10(std::abs(value)))) + 1;
  return rounded(value, std::clamp(3 - before, 0, 9));
}

// Plotly takes hover text for markup.
std::string plain(const std::string& text) {
  return html(text).markup();
}

Figure roof_figure(const std::vector<Kernel>& kernels, double copy, double matmul) {
  Figure out{
      "roofline",
      "Kernels under the roofs",
      "Operations a second against operations a byte, both on logarithmic axes; a line for the copy bandwidth "
      "and one for the matmul rate.",
      "A filled dot is sotto’s kernel, the hollow one above or below it LibTorch’s operators for the same maths. "
      "Dots above the sloped roof have their operands in the caches.",
      {},
      {"kernel", "shape", "FLOP/byte", "sotto GFLOP/s", "LibTorch GFLOP/s"},
      {}};
  Json x = Json::array(), y = Json::array(), text = Json::array(), other_y = Json::array(), other_text = Json::array();
  const double ridge = matmul / copy;
  double least = ridge, most = ridge;
  for (const Kernel& kernel : kernels) {
    const double intensity = kernel.flops / kernel.bytes, other = kernel.flops / kernel.composite_ms / 1e6;
    least = std::min(least, intensity);
    most = std::max(most, intensity);
    x.push_back(intensity);
    y.push_back(kernel.gigaflops);
    text.push_back(cat(plain(kernel.label()), "<br>", brief(kernel.time_ms), " ms, ", brief(kernel.percent_of_floor),
                       " % of the floor (", plain(kernel.bound), ")"));
    other_y.push_back(other);
    other_text.push_back(
        cat(plain(kernel.composite), "<br>for ", plain(kernel.label()), "<br>", brief(kernel.composite_ms), " ms"));
    out.rows.push_back({kernel.name, kernel.shape, brief(intensity), brief(kernel.gigaflops), brief(other)});
  }
  const double left = least / 2, right = most * 2;
  const std::string hover = "%{text}<br>%{x:.3~r} FLOP/byte, %{y:.3~s} GFLOP/s";
  out.plot["traces"] = {
      trace("copy: " + brief(copy) + " GB/s", "roof", "lines", {left, ridge}, {left * copy, matmul}, ""),
      trace("matmul: " + brief(matmul) + " GFLOP/s", "roof", "lines", {ridge, right}, {matmul, matmul}, ""),
      trace("LibTorch’s operators", "hollow", "markers", x, std::move(other_y), hover, std::move(other_text)),
      trace("sotto", "run", "markers", x, std::move(y), hover, std::move(text))};
  out.plot["x"] = log_axis("FLOP a byte", 1);
  out.plot["y"] = log_axis("GFLOP/s", 1);
  out.height = 520;
  return out;
}

Figure speedup_figure(const std::vector<Kernel>& kernels) {
  Figure out{"speedups",
             "How many times as fast as LibTorch’s operators",
             "A bar for each kernel and shape on a logarithmic axis; 1 is equally fast.",
             "",
             {},
             {"kernel", "shape", "LibTorch’s operators", "times as fast"},
             {}};
  Json faster = Json::array(), slower = Json::array(), names = Json::array();
  Json faster_names = Json::array(), slower_names = Json::array(), faster_text = Json::array(),
       slower_text = Json::array();
  // From the top of the plot down in the order of the table.
  for (auto kernel = kernels.rbegin(); kernel != kernels.rend(); ++kernel) {
    const bool ahead = kernel->speedup >= 1;
    const std::string name = plain(kernel->label());
    names.push_back(name);
    (ahead ? faster : slower).push_back(kernel->speedup);
    (ahead ? faster_names : slower_names).push_back(name);
    (ahead ? faster_text : slower_text)
        .push_back(cat(name, "<br>", brief(kernel->time_ms), " ms against ", brief(kernel->composite_ms), " ms of ",
                       plain(kernel->composite), "<br>", rounded(kernel->speedup, 2), " times as fast"));
  }
  for (const Kernel& kernel : kernels)
    out.rows.push_back({kernel.name, kernel.shape, kernel.composite, rounded(kernel.speedup, 2)});
  out.plot["traces"] = {
      trace("faster", "run", "bars", std::move(faster), std::move(faster_names), "%{text}", std::move(faster_text)),
      trace("slower", "limit", "bars", std::move(slower), std::move(slower_names), "%{text}", std::move(slower_text))};
  out.plot["x"] = log_axis("times as fast (1: equal)", "D2");
  out.plot["y"] = {{"title", ""}, {"order", std::move(names)}};
  out.height = std::max(180, 90 + 19 * static_cast<int>(kernels.size()));
  return out;
}

Html tile(const std::string& label, const std::string& value, const std::string& note) {
  return html("<div class=\"tile\"><p class=\"label\">", label, "</p><p class=\"value\">", value,
              "</p><p class=\"note\">", note, "</p></div>");
}

Html fact(const std::string& term, const std::string& value) {
  return html("<div><dt>", term, "</dt><dd>", value, "</dd></div>");
}

Html header(const Json& roofline, const std::vector<Kernel>& kernels) {
  const Fields fields(roofline, "the roofline");
  const Fields machine = fields.object("machine"), copy = fields.object("copy"), matmul = fields.object("matmul");
  std::vector<double> speedups;
  for (const Kernel& kernel : kernels) speedups.push_back(kernel.speedup);
  std::sort(speedups.begin(), speedups.end());
  const auto near = std::count_if(kernels.begin(), kernels.end(),
                                  [](const Kernel& kernel) { return kernel.percent_of_floor >= kPoor; });
  const int64_t size = matmul.integer("size");
  Html tiles = tile("Copy bandwidth, GB/s", brief(copy.number("gigabytes_per_second")),
                    cat("read and written, ", copy.integer("bytes") >> 20, " MiB a copy"));
  tiles += tile("Matmul rate, GFLOP/s", brief(matmul.number("gigaflops")),
                cat(matmul.text("dtype"), ", ", counted(size), " × ", counted(size), " squares"));
  tiles += tile("Half the floor’s speed or more", cat(near, " of ", kernels.size()), "kernels at their shapes");
  tiles += tile("Against LibTorch’s operators", rounded(speedups[speedups.size() / 2], 2) + "×",
                cat("median; from ", rounded(speedups.front(), 2), " to ", rounded(speedups.back(), 2)));
  const Fields versions = fields.object("versions");
  Html facts = fact("Device", machine.text("device") + ": " + machine.text("name"));
  facts += fact("Instruction set of the processor", machine.text("instruction_set"));
  facts += fact("Threads", counted(machine.integer("threads")) + " of " + counted(machine.integer("cores")) + " cores");
  facts += fact("Date", fields.text("date"));
  facts += fact("Rounds", counted(fields.integer("rounds")) + ", in which sotto and LibTorch alternate; medians");
  for (const std::string& name : versions.names()) facts += fact(name, versions.text(name));
  return html("<header><p class=\"kicker\">Kernel benchmark</p><h1>sotto’s kernels under the roofline of ",
              machine.text("name"), "</h1><div class=\"tiles\">", tiles,
              "</div></header>\n<section><dl class=\"facts\">", facts, "</dl></section>\n");
}

Html numbers_part(const std::vector<Kernel>& kernels) {
  std::vector<std::vector<std::string>> rows;
  for (const Kernel& k : kernels)
    rows.push_back({k.name, k.shape, brief(k.time_ms), brief(k.floor_ms), brief(k.percent_of_floor), k.bound,
                    brief(k.gigabytes_per_second), brief(k.percent_of_copy), brief(k.gigaflops),
                    brief(k.percent_of_matmul), brief(k.composite_ms), rounded(k.speedup, 2), brief(k.bytes / 1e6),
                    brief(k.flops / 1e6), k.composite});
  return html("<section id=\"numbers\"><h2>Every number</h2>",
              table({"kernel", "shape", "ms", "floor ms", "% of floor", "bound by", "GB/s", "% of copy", "GFLOP/s",
                     "% of matmul", "LibTorch ms", "times as fast", "MB", "MFLOP", "LibTorch’s operators"},
                    rows),
              "</section>\n");
}

Html explanation() {
  return html(
      "<section id=\"how\"><h2>How to read this</h2><dl class=\"explained\"><dt>The floor</dt><dd>The longer of two "
      "times: bytes ÷ copy bandwidth and FLOPs ÷ matmul rate, both rates measured in the same run and each the best of "
      "its rounds.</dd><dt>Bytes and FLOPs</dt><dd>The least that any way to the result must do: every input read "
      "once, every output written once, what is added to also read. Integer operations count as none, so the noise "
      "kernels’ floor is a generator that costs nothing.</dd><dt>Above 100 %</dt><dd>Rounds repeat on the same "
      "operands: where they fit the caches, memory is not the limit. The matmul rate is that of LibTorch’s own "
      "product, "
      "which a kernel can beat where that leaves instructions of the processor unused.</dd><dt>LibTorch’s operators"
      "</dt><dd>The same result from operators that LibTorch has, with the same "
      "threads, on the same device. Before anything is timed the two results are held against each other.</dd>"
      "</dl></section>\n");
}

}  // namespace

std::string roofline_page(const Json& roofline) {
  const Fields fields(roofline, "the roofline");
  std::vector<Kernel> kernels;
  for (const Fields& row : fields.objects("kernels")) kernels.push_back(read_kernel(row));
  if (kernels.empty()) fields.fail("kernels", "is empty");
  std::vector<Figure> figures{roof_figure(kernels, fields.object("copy").number("gigabytes_per_second"),
                                          fields.object("matmul").number("gigaflops")),
                              speedup_figure(kernels)};
  Html body = html("<main>\n", header(roofline, kernels), "<section id=\"roofs\"><h2>The roofline</h2>",
                   show(figures[0]), "</section>\n<section id=\"beside\"><h2>Beside LibTorch</h2>", show(figures[1]),
                   "</section>\n", numbers_part(kernels), explanation(), "</main>\n");
  return document("Kernels under the roofline", body, figures);
}

void write_roofline(const std::filesystem::path& folder, const Json& roofline) {
  const std::string page = roofline_page(roofline);
  make_folder(folder);
  write_file(folder / "roofline.json", dump(roofline, 2) + "\n");
  write_file(folder / "roofline.html", page);
}

}  // namespace sotto::report

#include "app/account/grid.h"

#include <cmath>

#include "base/error.h"

namespace sotto::app {

std::vector<double> Grid::values() const {
  check_delta(from, "--from");
  check_delta(to, "--to");
  need(from < to, cat("--from must be below --to, got ", from, " and ", to));
  need(points >= 2 && points <= 1000, cat("--points must be from 2 to 1000, got ", points));
  std::vector<double> found;
  for (int64_t i = 0; i < points; ++i)
    found.push_back(std::exp(std::log(from) + (std::log(to) - std::log(from)) * static_cast<double>(i) /
                                                  static_cast<double>(points - 1)));
  found.front() = from;
  found.back() = to;
  return found;
}

void add_grid(CLI::App& command, Grid& grid) {
  command.add_option("--from", grid.from, "the least delta")->capture_default_str();
  command.add_option("--to", grid.to, "the greatest delta")->capture_default_str();
  command.add_option("--points", grid.points, "how many deltas, at equal ratios")->capture_default_str();
}

void add_plot(CLI::App& command, Question& question) {
  command.add_option("--plot", question.plot, "an HTML page to write, which opens without a network");
}

std::vector<std::pair<std::string, std::string>> facts(const Question& question) {
  return {{"Plan", in_words(question)}, {"Neighbours", relation_in_words(question)}};
}

}  // namespace sotto::app

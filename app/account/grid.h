#pragma once
#include <string>
#include <utility>
#include <vector>

#include "app/account/question.h"

namespace sotto::app {

// Values of δ at equal ratios, both ends included.
struct Grid {
  double from = 1e-10, to = 1e-3;
  int64_t points = 15;
  // Throws configuration unless 0 < from ≤ to < 1 and 2 ≤ points ≤ 1000.
  std::vector<double> values() const;
};

void add_grid(CLI::App& command, Grid& grid);
void add_plot(CLI::App& command, Question& question);

// A page's facts about a plan.
std::vector<std::pair<std::string, std::string>> facts(const Question& question);

}  // namespace sotto::app

#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/run_folder.h"

namespace sotto::report {

// A plot and what stands in for it where it cannot be seen: a description and a table of its numbers.
struct Figure {
  std::string id, title, description, caption;
  Json plot;  // {"traces": […], "x": {…}, "y": {…}}: page_script.cpp draws it
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  int height = 0;  // pixels; 0: the stylesheet's
};

// A line or a set of dots of a plot. `role` chooses colour and dash (page_script.cpp), `text` is shown on hover in
// place of a number.
Json trace(const std::string& name, const std::string& role, const std::string& mode, Json x, Json y,
           const std::string& hover, Json text = nullptr);
// `ticks` as plotly's dtick has it: 1 for powers of ten, "D2" for 1, 2 and 5 between them.
Json log_axis(const std::string& title, Json ticks, const std::string& format = "~r");

// How far the released model can move someone's belief about one unit, at most. Needs a finite epsilon.
Figure belief_figure(const Certificate& certificate);
// Epsilon over steps against the allotment. Needs progress.
Figure budget_figure(const RunFolder& run);
// A held-out quantity over the steps at which it was taken. Empty rows where there is none.
Figure held_out_loss_figure(const RunFolder& run);
Figure held_out_auc_figure(const RunFolder& run);
Figure roc_figure(const Evaluations& evaluations);
Figure calibration_figure(const Evaluations& evaluations);
// The exact training figures that only the operator may see.
std::vector<Figure> operator_figures(const std::vector<OperatorPoint>& points);

}  // namespace sotto::report

#pragma once
#include <string>
#include <vector>

#include "report/figure.h"
#include "report/html.h"
#include "report/run_folder.h"

namespace sotto::report {

// The stylesheet, and the script that draws every plot of <script id="figures"> into the element of its id.
std::string page_style();
std::string page_script();

// A figure's place in the page: the plot, its caption and its numbers as a table that can be unfolded.
Html show(const Figure& figure);
// `text` with `words` between backticks set as code.
Html prose(const std::string& text);
// Rows of cells under headings. A number is never broken across lines, a time only before its hour, and
// the id of a run only in its middle.
Html table(const std::vector<std::string>& columns, const std::vector<std::vector<std::string>>& rows);

// The parts of the page, in its order. Those with plots append them to `figures`.
Html banner_part(const Certificate& certificate);
Html summary_part(const RunFolder& run);
Html guarantee_part(const RunFolder& run, std::vector<Figure>& figures);
Html not_covered_part(const Certificate& certificate);
Html training_part(const RunFolder& run);
Html budget_part(const RunFolder& run, std::vector<Figure>& figures);
Html quality_part(const RunFolder& run, std::vector<Figure>& figures);
Html operator_part(const std::vector<OperatorPoint>& points, std::vector<Figure>& figures);
Html ledger_part(const RunFolder& run);
Html reproduce_part(const RunFolder& run);

// A whole page around its body, in one string: it loads nothing, and its content policy forbids any script but its own
// two, which draw `figures`.
std::string document(const std::string& title, const Html& body, const std::vector<Figure>& figures);

// The report of a run. With `exact` (the operator's metrics) it is not releasable and says so at the top.
std::string page(const RunFolder& run, const std::vector<OperatorPoint>* exact = nullptr);

}  // namespace sotto::report

#pragma once
#include <filesystem>

namespace sotto::report {

// Writes RUN/report.html, one page that opens without a network, and RUN/report.json, the same numbers for programs.
// With `with_operator` also RUN.operator/report.html (mode 0600), which adds the exact training figures and is not
// releasable. The same run folder gives the same bytes. Throws io or data naming the file that is missing or wrong, and
// then writes nothing.
void write_report(const std::filesystem::path& run, bool with_operator = false);

}  // namespace sotto::report

#pragma once
#include <filesystem>
#include <string>

#include "report/fields.h"

namespace sotto::report {

// What `sotto bench kernels` measured, as docs/cli.md lists it: `format_version`, `date`, `machine`, `versions`,
// `rounds`, `copy`, `matmul` and `kernels`, one an operation and shape. Throws data naming the field that is missing or
// of another kind.

// One page that opens without a network: the kernels under the roofs that copy and matmul are, their speedups over
// LibTorch's operators, and every number in a table.
std::string roofline_page(const Json& roofline);

// Writes FOLDER/roofline.html and FOLDER/roofline.json, the same numbers for programs; the folder is made. Throws io,
// and data before anything is written.
void write_roofline(const std::filesystem::path& folder, const Json& roofline);

}  // namespace sotto::report

#pragma once
#include <string>

namespace sotto::report {

// plotly.min.js, which is part of this binary: the page needs no network and an installed program no file.
const std::string& plotly_source();

}  // namespace sotto::report

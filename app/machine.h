#pragma once
#include <string>

namespace sotto::app {

// "AVX-512", "AVX2" or "SSE2": the widest that this processor has and sotto uses.
std::string instruction_set_name();

}  // namespace sotto::app

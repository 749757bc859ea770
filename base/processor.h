#pragma once
#include <string>

namespace sotto {

// As the processor calls itself; "unknown processor" where the system does not say.
std::string processor_name();

}  // namespace sotto

#pragma once
#include <string>
#include <vector>

namespace sotto::app {

// Rows of text in aligned columns, two spaces apart; columns from `numbers` on are aligned to the right.
std::string table(const std::vector<std::vector<std::string>>& rows, size_t numbers);

}  // namespace sotto::app

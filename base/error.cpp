#include "base/error.h"

namespace sotto {

Error::Error(ErrorKind kind, const std::string& message, std::source_location place)
    : std::runtime_error(message), kind_(kind), place_(place) {}

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid_argument:
    case ErrorKind::configuration:
      return 2;
    case ErrorKind::budget_exhausted:
      return 3;
    case ErrorKind::interrupted:
      return 130;
    default:
      return 1;
  }
}

}  // namespace sotto

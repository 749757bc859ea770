#pragma once
#include <source_location>
#include <sstream>
#include <stdexcept>
#include <string>

namespace sotto {

enum class ErrorKind { invalid_argument, configuration, budget_exhausted, interrupted, data, io, cuda, internal };

// The one exception this project throws. `kind` is what a caller may branch on; what() is for people: it says what is
// wrong, where, what the limit is and the way out. `place` is the line that threw it, for developers.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message, std::source_location place = std::source_location::current());
  ErrorKind kind() const noexcept { return kind_; }
  const std::source_location& place() const noexcept { return place_; }

 private:
  ErrorKind kind_;
  std::source_location place_;
};

// The exit code of a program that ends with this error: 1 failed, 2 usage or configuration, 3 budget exhausted (state
// saved), 130 interrupted (state saved).
int exit_code(ErrorKind kind);

template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  out.precision(12);
  (out << ... << parts);
  return out.str();
}

// What a caller promised, and where.
struct Contract {
  Contract(bool holds, std::source_location where = std::source_location::current()) : ok(holds), place(where) {}
  bool ok;
  std::source_location place;
};

// Throws invalid_argument when the caller broke the contract. The message is put together only then: kernels check what
// they get at every call.
template <class... Parts>
void require(const Contract& contract, const Parts&... parts) {
  if (!contract.ok) [[unlikely]]
    throw Error(ErrorKind::invalid_argument, cat(parts...), contract.place);
}

}  // namespace sotto

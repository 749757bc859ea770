#pragma once
#include <string_view>

namespace sotto {

// A place where a crash would be interesting. With SOTTO_FAULT_POINT="name:n" in the environment, the n-th arrival (1
// is the first) at the point of that name writes "killed at name:n" to standard error and kills the process with
// SIGKILL; otherwise does nothing. Crash tests use it to die at every durable boundary. With "stop:name:n" it stops
// there (SIGSTOP) until it is told to continue, so that a signal can be sent at a known moment.
void fault_point(std::string_view name);

}  // namespace sotto

#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

namespace sotto::accountants {

// This test program run again as another process: it does one thing to a ledger and exits. `fault_point`, if not empty,
// becomes its SOTTO_FAULT_POINT. Its standard output and error can be read from the descriptors.
struct Child {
  pid_t pid;
  int out, err;
};
Child start_child(const std::vector<std::string>& arguments, const std::string& fault_point = "");

struct Ended {
  bool killed;  // by SIGKILL
  int code;     // exit code otherwise
  std::string out, err;
};
Ended wait_for(const Child& child);

// What the child does: "create PATH", "reserve PATH RUN", "charge PATH RUN COUNT", "release PATH RUN",
// "verify PATH", where a PATH may be any location. Charging prints the step after each receipt; where another process was
// faster it takes the next step. "insist" charges likewise, and goes on when the server was away. "as_nobody PATH create|verify"
// opens or verifies after giving up root's right to write anywhere, if it has it. "serve" starts a server, says a location
// there, and stops it when its standard input ends.
int child_main(const std::vector<std::string>& arguments);

}  // namespace sotto::accountants

#include "report/plotly.h"

// The compiler never sees the 5 MB: an array literal of that size costs it minutes.
asm(".pushsection .rodata\n"
    ".global sotto_plotly_begin\n"
    ".hidden sotto_plotly_begin\n"
    "sotto_plotly_begin:\n"
    ".incbin \"" SOTTO_ASSET
    "\"\n"
    ".global sotto_plotly_end\n"
    ".hidden sotto_plotly_end\n"
    "sotto_plotly_end:\n"
    ".popsection\n");

extern "C" {
extern const char sotto_plotly_begin[];
extern const char sotto_plotly_end[];
}

namespace sotto::report {

const std::string& plotly_source() {
  static const std::string source(sotto_plotly_begin, sotto_plotly_end);
  return source;
}

}  // namespace sotto::report

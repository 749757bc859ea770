#pragma once

namespace sotto::app {

// Keeps freed blocks in the process instead of handing their pages back: a step allocates the same tensors again and
// again, and page faults can cost more than its arithmetic.
void keep_freed_memory();

}  // namespace sotto::app

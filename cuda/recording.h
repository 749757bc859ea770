#pragma once
#include <functional>

#include "cuda/exec.h"

namespace sotto {

// CUDA graphs as the runtime has them, for Graph. A handle is a cudaGraphExec_t. Each throws cuda with the runtime's
// message.
void* record_graph(const std::function<void(const Exec&)>& work);
void start_graph(void* executable, const Exec& exec);
void destroy_graph(void* executable) noexcept;

}  // namespace sotto

#include "engine/pass_graph.h"

#include <dlfcn.h>

#include "base/error.h"

namespace sotto {
namespace {

constexpr int64_t kPlainCalls = 2;

std::unique_ptr<TorchRecorder> make_recorder() {
  static void* const library = dlopen("libsotto_torch_graph.so", RTLD_NOW | RTLD_LOCAL);
  if (!library)
    throw Error(ErrorKind::cuda, cat("passes cannot be recorded: ", dlerror(),
                                     "; it is built with sotto where there is a CUDA toolkit, and lies in lib/"));
  const auto make = reinterpret_cast<MakeTorchRecorder>(dlsym(library, "sotto_make_torch_recorder"));
  require(make != nullptr, "libsotto_torch_graph.so has no sotto_make_torch_recorder");
  return std::unique_ptr<TorchRecorder>(make());
}

}  // namespace

std::vector<at::Tensor> PassGraph::run(const at::Tensor& records) {
  if (!recorded_ && refusal_.empty() && plain_calls_++ >= kPlainCalls) record(records);
  if (!recorded_ || records.sizes() != records_.sizes()) return work_(records);
  records_.copy_(records, /*non_blocking=*/true);
  if (on_gpu_)
    on_gpu_->replay();
  else
    results_ = work_(records_);
  std::vector<at::Tensor> copies;
  for (const at::Tensor& result : results_) copies.push_back(result.clone());  // the next start writes over them
  return copies;
}

void PassGraph::record(const at::Tensor& records) {
  records_ = records.clone();
  recorded_ = true;
  if (!records.is_cuda()) return;
  try {
    on_gpu_ = make_recorder();
    on_gpu_->begin();
    try {
      results_ = work_(records_);
    } catch (...) {
      try {
        on_gpu_->end();                  // else the stream goes on recording
      } catch (const std::exception&) {  // what it says follows from the failure that is on its way
      }
      throw;
    }
    on_gpu_->end();
  } catch (const std::exception& failure) {  // nothing has run yet
    refusal_ = failure.what();
    recorded_ = false;
    results_.clear();
    on_gpu_.reset();
  }
}

}  // namespace sotto

#pragma once
#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/view.h"
#include "engine/site.h"
#include "kernels/bfloat16.h"

namespace sotto {

using Tensors = std::vector<at::Tensor>;

// Two ways to the same result, from inputs that both read.
struct Contest {
  std::function<Tensors()> sotto, composite;  // what is timed, and what it leaves behind
  // Where the composite draws noise of its own: what must agree in place of what the two above leave.
  std::function<std::pair<Tensors, Tensors>()> compared = {};
};

// An operation of kernels/ at one shape, and LibTorch operators for the same maths.
struct RooflineCase {
  std::string kernel, folder;                          // the function, and where in kernels/ it is
  std::vector<std::pair<std::string, int64_t>> shape;  // in the letters of the header, in the order to be shown
  std::string composite;                               // LibTorch's operators, in words
  // The least that any way to the result must do. bytes: every input read once, every output written once, and what is
  // added to also read. flops: of the best way that is known for this algorithm; an activation or a root counts as one,
  // integer operations as none. The formulas stand at each case.
  double bytes, flops;
  double tolerance;  // on disagreement()
  std::function<Contest(const Site&)> make;
  bool on_cpu = true, on_cuda = true;  // where it can be held
};

// All of them, folder by folder; below, file by file (cases_*.cpp).
std::vector<RooflineCase> roofline_cases();

std::vector<RooflineCase> norm_contests();
std::vector<RooflineCase> sum_contests();
std::vector<RooflineCase> ragged_contests();
std::vector<RooflineCase> layer_contests();
std::vector<RooflineCase> lattice_contests();
std::vector<RooflineCase> noise_contests();
std::vector<RooflineCase> recurrent_contests();

// Of entries rounded to Bfloat16: two that are about to be rounded apart differ by 2^-7 of themselves.
constexpr double kBfloat16Tolerance = 8e-3;

// A contiguous tensor as kernels take it: a matrix has the last dimension's columns.
inline MatrixView<const float> in(const at::Tensor& x) {
  return {x.const_data_ptr<float>(), x.numel() / x.size(-1), x.size(-1)};
}
inline MatrixView<const kernels::Bfloat16> in_bfloat16(const at::Tensor& x) {
  return {static_cast<const kernels::Bfloat16*>(x.const_data_ptr()), x.numel() / x.size(-1), x.size(-1)};
}
inline MatrixView<float> out(const at::Tensor& x) {
  return {x.mutable_data_ptr<float>(), x.numel() / x.size(-1), x.size(-1)};
}
inline MatrixView<kernels::Bfloat16> out_bfloat16(const at::Tensor& x) {
  return {static_cast<kernels::Bfloat16*>(x.mutable_data_ptr()), x.numel() / x.size(-1), x.size(-1)};
}
template <class T = float>
VectorView<const T> vector_in(const at::Tensor& x) {
  return {x.const_data_ptr<T>(), x.numel()};
}
template <class T = float>
VectorView<T> vector_out(const at::Tensor& x) {
  return {x.mutable_data_ptr<T>(), x.numel()};
}

}  // namespace sotto

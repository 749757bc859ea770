#include <ATen/ExpandUtils.h>

#include "base/error.h"
#include "engine/tape/linear.h"

namespace sotto {
namespace {

// x [… m k] times a parameter [… k n] that is no linear layer's: one matrix a head, or a part of the columns. Each
// sample gets its own copy of the matrix, without memory, and autograd makes the product's gradients by sample.
at::Tensor batched(const RecorderPointer& recorder, const at::Tensor& x, const at::Tensor& matrix) {
  const ParameterView view = find_view(*recorder, matrix);
  std::vector<int64_t> leading =
      at::infer_size(x.sizes().slice(0, x.dim() - 2), matrix.sizes().slice(0, matrix.dim() - 2));
  const auto with = [&](int64_t rows, int64_t columns) {
    std::vector<int64_t> sizes = leading;
    sizes.insert(sizes.end(), {rows, columns});
    return sizes;
  };
  const auto places = static_cast<int64_t>(leading.size());
  const at::Tensor wide = recorder->factor(x).expand(with(x.size(-2), x.size(-1)));
  const BatchLayout layout = recorder->record_use(view.parameter, "matmul", wide);
  if (layout.dimension < places)
    return at::matmul(wide, expand_to_samples(recorder, view, matrix, with(matrix.size(-2), matrix.size(-1)), layout,
                                              recorder->product_type));
  if (layout.dimension > places && !recorder->observing)
    recorder->refuse(cat("parameter ", recorder->parameters.name(view.parameter),
                         ": its matmul sums over the batch, so the samples cannot be told apart"));
  // The samples are the rows: each row is multiplied by its own copy.
  leading.push_back(x.size(-2));
  const at::Tensor shaped = matrix.unsqueeze(-3);
  const at::Tensor copies = expand_to_samples(recorder, find_view(*recorder, shaped), shaped,
                                              with(matrix.size(-2), matrix.size(-1)), layout, recorder->product_type);
  return at::matmul(wide.unsqueeze(-2), copies).squeeze(-2);
}

using Product = at::Tensor (*)(const at::Tensor&, const at::Tensor&);

template <Product kProduct>
at::Tensor captured_product(const at::Tensor& a, const at::Tensor& b) {
  const CaptureOff off(kCaptureKey);
  const auto output = matmul_rule(a, b);
  return output ? *output : kProduct(a, b);
}

at::Tensor captured_addmm(const at::Tensor& bias, const at::Tensor& a, const at::Tensor& b, const at::Scalar& beta,
                          const at::Scalar& alpha) {
  std::optional<at::Tensor> output;
  {
    const CaptureOff off(kCaptureKey);
    if (bias.dim() == 1 && beta.equal(1) && alpha.equal(1)) output = linear_rule(a, b.t(), bias);
    if (output) return *output;
    output = matmul_rule(a, b);
    if (!output) return at::addmm(bias, a, b, beta, alpha);
  }
  return at::add(alpha.equal(1) ? *output : at::mul(*output, alpha), bias, beta);  // the bias may be a parameter too
}

bool letters_alone(const std::string& equation) {
  return std::ranges::all_of(equation, [](char c) { return std::isalpha(static_cast<unsigned char>(c)); });
}

// An equation of two operands, spelled out.
struct Equation {
  std::string a, b, output;
};

std::optional<Equation> parse(std::string_view text) {
  std::string plain;
  for (const char c : text)
    if (c != ' ') plain += c;
  const size_t arrow = plain.find("->"), comma = plain.find(',');
  if (arrow == std::string::npos || comma == std::string::npos || comma > arrow) return std::nullopt;
  Equation made = {plain.substr(0, comma), plain.substr(comma + 1, arrow - comma - 1), plain.substr(arrow + 2)};
  if (!letters_alone(made.a) || !letters_alone(made.b) || !letters_alone(made.output)) return std::nullopt;
  return made;
}

// x … by a parameter, the parameter's letters `own`: a linear layer over the last letters of x, or a copy a sample.
std::optional<at::Tensor> einsum_rule(const RecorderPointer& recorder, const Equation& equation, const at::Tensor& x,
                                      const at::Tensor& parameter) {
  const ParameterView view = find_view(*recorder, parameter);
  const std::string &of_x = equation.a, &own = equation.b, &output = equation.output;
  if (static_cast<int64_t>(of_x.size()) != x.dim() || static_cast<int64_t>(own.size()) != parameter.dim())
    return std::nullopt;
  size_t shared = 0;  // own = shared letters, then new ones
  while (shared < own.size() && of_x.find(own[shared]) != std::string::npos) ++shared;
  const size_t kept = of_x.size() >= shared ? of_x.size() - shared : 0;
  if (shared > 0 && shared < own.size() && kept > 0 && of_x.substr(kept) == own.substr(0, shared) &&
      output == of_x.substr(0, kept) + own.substr(shared) && parameter.is_contiguous()) {
    const at::Tensor rows = x.flatten(static_cast<int64_t>(kept));
    const at::Tensor matrix = parameter.view({rows.size(-1), -1});
    if (const auto result = linear_rule(rows, matrix.t(), at::Tensor()))
      return result->unflatten(-1, parameter.sizes().slice(shared));
  }
  const BatchLayout layout = recorder->record_use(view.parameter, "einsum", x);
  const char sample = of_x[static_cast<size_t>(layout.dimension)];
  if ((layout.merged || own.find(sample) != std::string::npos) && !recorder->observing)
    recorder->refuse(cat("parameter ", recorder->parameters.name(view.parameter), ": its einsum ", of_x, ",", own, "->",
                         output, " does not keep the batch in a letter of its own"));
  if (own.find(sample) != std::string::npos) return std::nullopt;
  std::vector<int64_t> sizes = parameter.sizes().vec();
  sizes.insert(sizes.begin(), x.size(layout.dimension));
  const at::Tensor copies = expand_to_samples(recorder, view, parameter, sizes, BatchLayout{});
  return at::einsum(cat(of_x, ",", sample, own, "->", output), {x, copies});
}

at::Tensor captured_einsum(c10::string_view text, at::TensorList operands, at::OptionalIntArrayRef path) {
  const CaptureOff off(kCaptureKey);
  const RecorderPointer recorder = recorder_of_forward();
  const auto equation = parse({text.data(), text.size()});
  if (recorder && equation && operands.size() == 2) {
    const bool first = find_view(*recorder, operands[0]).parameter >= 0,
               second = find_view(*recorder, operands[1]).parameter >= 0;
    std::optional<at::Tensor> output;
    if (second && !first) output = einsum_rule(recorder, *equation, operands[0], operands[1]);
    if (first && !second)
      output = einsum_rule(recorder, {equation->b, equation->a, equation->output}, operands[1], operands[0]);
    if (output) return *output;
  }
  return at::einsum(text, operands, path);
}

}  // namespace

std::optional<at::Tensor> matmul_rule(const at::Tensor& a, const at::Tensor& b) {
  const RecorderPointer recorder = recorder_of_forward();
  if (!recorder || a.dim() == 0 || b.dim() == 0) return std::nullopt;
  const bool first = find_view(*recorder, a).parameter >= 0, second = find_view(*recorder, b).parameter >= 0;
  if (first == second || (first ? b : a).dim() < 2) return std::nullopt;
  if (b.dim() == 1) return matmul_rule(a, b.unsqueeze(1))->squeeze(-1);
  if (a.dim() == 1) return matmul_rule(a.unsqueeze(0), b)->squeeze(-2);
  if (first) return matmul_rule(b.transpose(-1, -2), a.transpose(-1, -2))->transpose(-1, -2);
  if (b.dim() == 2)
    if (const auto output = linear_rule(a, b.t(), at::Tensor())) return output;
  return batched(recorder, a, b);
}

void register_matmul_rules(torch::Library& library) {
  library.impl("addmm", &captured_addmm);
  library.impl("matmul", &captured_product<&at::matmul>);
  library.impl("mm", &captured_product<&at::mm>);
  library.impl("bmm", &captured_product<&at::bmm>);
  library.impl("mv", &captured_product<&at::mv>);
  library.impl("einsum", &captured_einsum);
}

}  // namespace sotto

#include "engine/models/routed_linear.h"

#include "base/error.h"

namespace sotto {

RowsByGroup rows_by_group(const at::Tensor& group, int64_t groups) {
  const at::Tensor shifted = group.reshape({-1}) + 1;  // what is left out comes first
  const at::Tensor counts = at::bincount(shifted, {}, groups + 1);
  const at::Tensor order = std::get<1>(shifted.sort(/*stable=*/true, 0, /*descending=*/false));
  const at::Tensor ends = counts.cumsum(0);
  const auto left_out = counts[0].item<int64_t>();
  return {order.narrow(0, left_out, order.numel() - left_out), ends - left_out};
}

namespace {

bool given(const std::optional<at::Tensor>& bias) {
  return bias && bias->defined();
}

void check(const at::Tensor& input, const at::Tensor& expert, const at::Tensor& weight,
           const std::optional<at::Tensor>& bias) {
  require(weight.dim() == 3 && input.dim() >= 2 && input.size(-1) == weight.size(2),
          "routed_linear: input [..., d] and weight [experts, p, d], got ", input.sizes(), " and ", weight.sizes());
  require(expert.scalar_type() == at::kLong && expert.sizes() == input.sizes().slice(0, input.dim() - 1),
          "routed_linear: expert must be int64 with one entry a row of input, got ", expert.sizes(), " for ",
          input.sizes());
  require(!given(bias) || (bias->dim() == 2 && bias->size(0) == weight.size(0) && bias->size(1) == weight.size(1)),
          "routed_linear: bias must be [experts, p] or none");
  if (expert.numel() == 0) return;
  const int64_t low = expert.min().item<int64_t>(), high = expert.max().item<int64_t>();
  require(low >= -1 && high < weight.size(0), "routed_linear: there are experts 0 to ", weight.size(0) - 1,
          " (-1: none), but rows are routed to ", low < -1 ? low : high);
}

at::Tensor through(int64_t expert, const at::Tensor& rows, const at::Tensor& weight,
                   const std::optional<at::Tensor>& bias) {
  return at::linear(rows, weight.select(0, expert), given(bias) ? bias->select(0, expert) : at::Tensor());
}

at::Tensor by_expert_products(const at::Tensor& input, const at::Tensor& expert, const at::Tensor& weight,
                              const std::optional<at::Tensor>& bias) {
  check(input, expert, weight, bias);
  const int64_t experts = weight.size(0);
  const at::Tensor rows = input.reshape({-1, input.size(-1)});
  const RowsByGroup by_expert = rows_by_group(expert, experts);
  const at::Tensor starts = by_expert.starts.cpu(), sorted = rows.index_select(0, by_expert.order);
  const auto* start = starts.const_data_ptr<int64_t>();
  std::vector<at::Tensor> outputs;
  for (int64_t e = 0; e < experts; ++e)
    outputs.push_back(through(e, sorted.narrow(0, start[e], start[e + 1] - start[e]), weight, bias));
  std::vector<int64_t> shape = input.sizes().vec();
  shape.back() = weight.size(1);
  return at::zeros({rows.size(0), weight.size(1)}, input.options())
      .index_copy(0, by_expert.order, at::cat(outputs))
      .view(shape);
}

}  // namespace

at::Tensor routed_linear(const at::Tensor& input, const at::Tensor& expert, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias) {
  define_routed_linear();
  static const auto operation =
      c10::Dispatcher::singleton().findSchemaOrThrow("sotto::routed_linear", "").typed<decltype(routed_linear)>();
  return operation.call(input, expert, weight, bias);
}

at::Tensor routed_linear_by_all(const at::Tensor& input, const at::Tensor& expert, const at::Tensor& weight,
                                const std::optional<at::Tensor>& bias) {
  check(input, expert, weight, bias);
  std::vector<int64_t> shape = input.sizes().vec();
  shape.back() = weight.size(1);
  at::Tensor result = at::zeros(shape, input.options());
  for (int64_t e = 0; e < weight.size(0); ++e)
    result = at::where(expert.eq(e).unsqueeze(-1), through(e, input, weight, bias), result);
  return result;
}

void define_routed_linear() {
  [[gnu::used]] static auto* library = [] {  // for the life of the program, as the rules
    auto* made = new torch::Library(torch::Library::FRAGMENT, "sotto", std::nullopt, __FILE__, __LINE__);
    made->def("routed_linear(Tensor input, Tensor expert, Tensor weight, Tensor? bias=None) -> Tensor",
              &by_expert_products);
    return made;
  }();
}

}  // namespace sotto

#include "kernels/convolution_norms/convolution_norms.h"

#include "base/error.h"
#include "engine/tape/product.h"

namespace sotto {
namespace {

// As aten::convolution has it: one entry a spatial dimension.
struct Geometry {
  std::vector<int64_t> stride, padding, dilation, output_padding;
  bool transposed = false;
  int64_t groups = 1;

  at::Tensor apply(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) const {
    return at::convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups);
  }
};

struct ConvolutionUse {
  RecorderPointer recorder;
  at::Tensor weight, bias;  // as they are multiplied; either may be frozen, and the bias absent
  int64_t weight_index, bias_index;
  Geometry geometry;
  BatchLayout layout;

  // [batch, frames, channels, …]: where a sample's images are merged into dimension 0, its gradient is their sum. In
  // floats, which the kernels take: they hold bfloat16 exactly.
  at::Tensor frames(const at::Tensor& x) const {
    const at::Tensor by_sample = recorder->by_sample(in_float(x), layout);
    return layout.merged ? by_sample : by_sample.unsqueeze(1);
  }
};

// The sizes of a convolution from x to g; of a transposed one they change places, which makes it an ordinary one.
kernels::ConvolutionShape shape_of(const Geometry& geometry, const at::Tensor& x, const at::Tensor& g,
                                   const at::Tensor& weight) {
  kernels::ConvolutionShape s = {x.size(0), x.size(1), g.size(1), geometry.groups, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}};
  const int64_t spatial = weight.dim() - 2;
  for (int64_t k = 0; k < spatial; ++k) {
    const int64_t at = 3 - spatial + k;
    s.input[at] = x.size(2 + k);
    s.output[at] = g.size(2 + k);
    s.kernel[at] = weight.size(2 + k);
    s.stride[at] = geometry.stride[static_cast<size_t>(k)];
    s.padding[at] = geometry.padding[static_cast<size_t>(k)];
    s.dilation[at] = geometry.dilation[static_cast<size_t>(k)];
  }
  return s;
}

template <class Row = float>
MatrixView<Row> matrix(at::Tensor& rows) {
  return rows.defined() ? MatrixView<Row>{static_cast<Row*>(rows.mutable_data_ptr()), rows.size(0), rows.size(1)}
                        : MatrixView<Row>{nullptr, 0, 0};
}

// The weight's per-sample gradients [batch, elements] in `type`, and the bias's [batch, channels] if `bias_rows` is
// defined. Several frames are added up before they are rounded.
at::Tensor gradient_rows(const Exec& exec, const Geometry& geometry, const at::Tensor& weight, const at::Tensor& input,
                         const at::Tensor& gradient, at::ScalarType type = at::kFloat, at::Tensor bias_rows = {}) {
  at::Tensor sum;
  const bool rounds = type != at::kFloat && input.size(1) == 1;
  for (int64_t frame = 0; frame < input.size(1); ++frame) {
    at::Tensor x = input.select(1, frame).contiguous(), g = gradient.select(1, frame).contiguous();
    if (geometry.transposed) std::swap(x, g);
    at::Tensor rows = at::empty({x.size(0), weight.numel()}, x.options().dtype(rounds ? type : at::kFloat));
    const kernels::ConvolutionShape shape = shape_of(geometry, x, g, weight);
    if (rounds)
      kernels::convolution_gradients(exec, shape, x.const_data_ptr<float>(), g.const_data_ptr<float>(),
                                     matrix<kernels::Bfloat16>(rows), matrix(bias_rows));
    else
      kernels::convolution_gradients(exec, shape, x.const_data_ptr<float>(), g.const_data_ptr<float>(), matrix(rows),
                                     matrix(bias_rows));
    sum = sum.defined() ? sum.add_(rows) : rows;
  }
  return sum.defined() ? sum.to(type) : sum;
}

at::Tensor sum_over_places(const at::Tensor& gradient) {  // [batch, frames, channels, …]
  return gradient.flatten(3).sum(std::vector<int64_t>{1, 3});
}

// Places whose Gram matrix a thread of the box filter keeps: 4 MB.
constexpr int64_t kMostPlaces = 1024;

bool has_box_filter(const Geometry& geometry, const at::Tensor& input) {
  const int64_t places = c10::multiply_integers(input.sizes().slice(3));
  return !geometry.transposed && input.size(1) == 1 && input.size(2) > 0 && places <= kMostPlaces &&
         std::ranges::all_of(geometry.stride, [](int64_t stride) { return stride == 1; });
}

// As the gradient of a matrix product: length is the number of positions. Factors are to be had where im2col is.
ProductShape product_of(const ConvolutionUse& use, const at::Tensor& input, const at::Tensor& gradient) {
  const at::Tensor& output = use.geometry.transposed ? input : gradient;
  const int64_t outputs = use.weight.size(0);
  return {.parameter = use.weight_index,
          .length = output[0][0][0].numel() * input.size(1),
          .rows = outputs,
          .columns = use.weight.numel() / std::max<int64_t>(outputs, 1),
          .convolution = true,
          .image = input.numel() / std::max<int64_t>(input.size(0), 1),
          .in_channels = input.size(2),
          .taps = c10::multiply_integers(use.weight.sizes().slice(2)),
          .has_factors =
              use.weight.dim() == 4 && use.geometry.groups == 1 && !use.geometry.transposed && input.size(1) == 1,
          .has_box_filter = has_box_filter(use.geometry, input)};
}

// Norms by a box filter over Gram matrices of places, in place of the rows that are made for the sum.
void take_box_filter(const ConvolutionUse& use, const at::Tensor& input, const at::Tensor& gradient,
                     RecomputedUse& rows) {
  const at::Tensor x = input.select(1, 0).contiguous(), g = gradient.select(1, 0).contiguous();
  const kernels::ConvolutionShape shape = shape_of(use.geometry, x, g, use.weight);
  rows.without_rows.rule = "box_filter";
  rows.without_rows.add_norms = [exec = use.recorder->exec, shape, x, g](VectorView<double> squared) {
    kernels::accumulate_convolution_norms(exec, shape, x.const_data_ptr<float>(), g.const_data_ptr<float>(), squared);
  };
  const auto count = [](int64_t n) { return static_cast<double>(n); };
  const double places = count(shape.places()), positions = count(shape.positions());
  rows.without_rows.norm_flops =
      count(shape.samples) *
      (places * (places + 1) * count(shape.in_channels) +
       positions * (positions + 1) * (count(shape.out_channels) + count(shape.groups * shape.taps()) / 2));
  rows.without_rows.kept_bytes = count(x.nbytes() + g.nbytes());
}

// [batch, 1, channels, …] to [batch · positions, channels]
at::Tensor by_position(const at::Tensor& x) {
  return x.flatten(3).select(1, 0).transpose(1, 2).reshape({-1, x.size(2)}).contiguous();
}

void take_factors(const ConvolutionUse& use, NormMethod method, const at::Tensor& input, const at::Tensor& gradient) {
  const Geometry& g = use.geometry;
  const at::Tensor unfolded =  // [batch, channels · taps, positions], in the order of the weight's columns
      at::im2col(input.select(1, 0), use.weight.sizes().slice(2), g.dilation, g.padding, g.stride);
  take_product(*use.recorder, method, use.weight_index,
               unfolded.transpose(1, 2).reshape({-1, unfolded.size(1)}).contiguous(), by_position(gradient));
}

// The method's form of the weight's gradients, and the bias's.
void take_gradients(const ConvolutionUse& use, const at::Tensor& input, const at::Tensor& gradient) {
  Tape::Recorder& recorder = *use.recorder;
  at::Tensor bias_rows;
  const NormMethod method =
      use.weight_index < 0 ? NormMethod::ghost : recorder.choose(product_of(use, input, gradient));
  if (use.weight_index >= 0 && is_stored(method)) {
    if (use.bias_index >= 0 && !use.geometry.transposed && input.size(1) == 1)  // in the same pass over the gradient
      bias_rows = at::empty({recorder.batch, use.bias.numel()}, gradient.options());
    recorder.store(use.weight_index, gradient_rows(recorder.exec, use.geometry, use.weight, input, gradient,
                                                   stored_type(method), bias_rows));
  } else if (use.weight_index >= 0 && (method == NormMethod::recomputed || method == NormMethod::box_filter)) {
    const auto rows = [exec = recorder.exec, geometry = use.geometry, weight = use.weight.detach(), input, gradient](
                          int64_t first, int64_t count) {
      return gradient_rows(exec, geometry, weight, input.narrow(0, first, count), gradient.narrow(0, first, count));
    };
    RecomputedUse made = {.rows = rows};
    if (method == NormMethod::box_filter) take_box_filter(use, input, gradient, made);
    recorder.samples(use.weight_index).recomputed.push_back(std::move(made));
  } else if (use.weight_index >= 0) {
    take_factors(use, method, input, gradient);
  }
  if (use.weight_index >= 0) recorder.measure_beside(use.weight_index);
  if (use.bias_index >= 0) recorder.store(use.bias_index, bias_rows.defined() ? bias_rows : sum_over_places(gradient));
}

struct ConvolutionFunction : torch::autograd::Function<ConvolutionFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor&,
                            std::shared_ptr<ConvolutionUse> use) {
    carry(context, use);
    context->save_for_backward({input});
    return use->geometry.apply(input, use->weight, use->bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const CaptureOff off(kCaptureKey);
    const ConvolutionUse& use = carried<ConvolutionUse>(context);
    const at::Tensor input = context->get_saved_variables()[0].detach();
    at::Tensor input_gradient;  // first: LibTorch's scratch is gone when the samples' gradients take their memory
    if (context->needs_input_grad(0)) {
      const Geometry& g = use.geometry;
      input_gradient = std::get<0>(at::convolution_backward(outputs[0], input, use.weight, at::OptionalIntArrayRef(),
                                                            g.stride, g.padding, g.dilation, g.transposed,
                                                            g.output_padding, g.groups, {true, false, false}));
    }
    take_gradients(use, use.frames(input), use.frames(outputs[0]));
    return {input_gradient, at::Tensor(), at::Tensor()};
  }
};

std::string name_of(const Tape::Recorder& recorder, int64_t weight_index, int64_t bias_index) {
  return recorder.parameters.name(weight_index >= 0 ? weight_index : bias_index);
}

// The convolution where one of its parameters is ours; nothing where no rule applies.
std::optional<at::Tensor> convolution_rule(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                                           const Geometry& geometry) {
  const RecorderPointer recorder = current_recorder();
  if (!recorder) return std::nullopt;
  const int64_t weight_index = recorder->find(weight), bias_index = recorder->find(bias);
  if (weight_index < 0 && bias_index < 0) return std::nullopt;
  // What is trained but is not a parameter itself (a cast, a slice): the coverage walk names its parameter.
  const bool foreign_weight = weight_index < 0 && weight.requires_grad();
  const bool foreign_bias = bias_index < 0 && bias.defined() && bias.requires_grad();
  if (foreign_weight || foreign_bias) return std::nullopt;
  const bool has_batch = input.dim() == weight.dim();
  if (!has_batch && !recorder->observing)
    recorder->refuse(cat("parameter ", name_of(*recorder, weight_index, bias_index), ": the input of its convolution, ",
                         "of shape ", input.sizes(),
                         ", has no batch dimension; pass [batch, channels, …], a tensor of ", weight.dim(),
                         " dimensions"));
  BatchLayout layout;
  if (weight_index >= 0) layout = recorder->record_use(weight_index, "convolution", input);
  if (bias_index >= 0) layout = recorder->record_use(bias_index, "convolution", input);
  if (!layout.merged && layout.dimension != 0 && !recorder->observing)
    recorder->refuse(cat("parameter ", name_of(*recorder, weight_index, bias_index), ": the input of its convolution, ",
                         "of shape ", input.sizes(), ", has its samples in dimension ", layout.dimension,
                         "; a convolution's samples must be dimension 0"));
  if (!has_batch) {
    const at::Tensor constant_bias = bias.defined() ? bias.detach() : bias;
    return geometry.apply(input.unsqueeze(0), weight.detach(), constant_bias).squeeze(0);
  }
  auto use = std::make_shared<ConvolutionUse>(ConvolutionUse{recorder, recorder->constant_factor(weight),
                                                             recorder->constant_factor(bias), weight_index, bias_index,
                                                             geometry, layout});
  return ConvolutionFunction::apply(recorder->factor(input), recorder->anchor, std::move(use));
}

using OptionalTensor = const std::optional<at::Tensor>&;
using Sizes = c10::SymIntArrayRef;

// A single number stands for all spatial dimensions.
std::vector<int64_t> expanded(Sizes sizes, const at::Tensor& weight) {
  std::vector<int64_t> values = C10_AS_INTARRAYREF_SLOW(sizes).vec();
  if (values.size() == 1) values.resize(static_cast<size_t>(std::max<int64_t>(weight.dim() - 2, 1)), values[0]);
  return values;
}

Geometry geometry_of(const at::Tensor& weight, Sizes stride, Sizes padding, Sizes dilation, bool transposed,
                     Sizes output_padding, const c10::SymInt& groups) {
  return {expanded(stride, weight),
          expanded(padding, weight),
          expanded(dilation, weight),
          expanded(output_padding, weight),
          transposed,
          groups.expect_int()};
}

at::Tensor captured_convolution(const at::Tensor& input, const at::Tensor& weight, OptionalTensor bias, Sizes stride,
                                Sizes padding, Sizes dilation, bool transposed, Sizes output_padding,
                                c10::SymInt groups) {
  const CaptureOff off(kCaptureKey);
  const Geometry geometry = geometry_of(weight, stride, padding, dilation, transposed, output_padding, groups);
  if (const auto output = convolution_rule(input, weight, bias.value_or(at::Tensor()), geometry)) return *output;
  return at::convolution_symint(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups);
}

// Traced graphs call this one. The flags choose between algorithms.
at::Tensor captured_underscored(const at::Tensor& input, const at::Tensor& weight, OptionalTensor bias, Sizes stride,
                                Sizes padding, Sizes dilation, bool transposed, Sizes output_padding,
                                c10::SymInt groups, bool, bool, bool, bool) {
  return captured_convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups);
}

at::Tensor captured_deprecated(const at::Tensor& input, const at::Tensor& weight, OptionalTensor bias, Sizes stride,
                               Sizes padding, Sizes dilation, bool transposed, at::IntArrayRef output_padding,
                               c10::SymInt groups, bool, bool, bool) {
  return captured_convolution(input, weight, bias, stride, padding, dilation, transposed,
                              c10::fromIntArrayRefSlow(output_padding), groups);
}

using Plain = at::Tensor (*)(const at::Tensor&, const at::Tensor&, OptionalTensor, Sizes, Sizes, Sizes, c10::SymInt);

template <Plain kPlain>
at::Tensor captured_plain(const at::Tensor& input, const at::Tensor& weight, OptionalTensor bias, Sizes stride,
                          Sizes padding, Sizes dilation, c10::SymInt groups) {
  const CaptureOff off(kCaptureKey);
  const c10::SymInt none = 0;
  const Geometry geometry = geometry_of(weight, stride, padding, dilation, false, Sizes(none), groups);
  if (const auto output = convolution_rule(input, weight, bias.value_or(at::Tensor()), geometry)) return *output;
  return kPlain(input, weight, bias, stride, padding, dilation, groups);
}

using Transposed = at::Tensor (*)(const at::Tensor&, const at::Tensor&, OptionalTensor, Sizes, Sizes, Sizes,
                                  c10::SymInt, Sizes);

template <Transposed kTransposed>
at::Tensor captured_transposed(const at::Tensor& input, const at::Tensor& weight, OptionalTensor bias, Sizes stride,
                               Sizes padding, Sizes output_padding, c10::SymInt groups, Sizes dilation) {
  const CaptureOff off(kCaptureKey);
  const Geometry geometry = geometry_of(weight, stride, padding, dilation, true, output_padding, groups);
  if (const auto output = convolution_rule(input, weight, bias.value_or(at::Tensor()), geometry)) return *output;
  return kTransposed(input, weight, bias, stride, padding, output_padding, groups, dilation);
}

// padding="same" or "valid". Where "same" needs an odd number of zeros, the last side gets one more, as in LibTorch.
at::Tensor captured_named_padding(const at::Tensor& input, const at::Tensor& weight, OptionalTensor bias, Sizes stride,
                                  std::string_view padding, Sizes dilation, c10::SymInt groups) {
  const CaptureOff off(kCaptureKey);
  const auto ordinary = [&] {
    return at::_convolution_mode_symint(input, weight, bias, stride, padding, dilation, groups);
  };
  Geometry geometry = {expanded(stride, weight), {}, expanded(dilation, weight), {}, false, groups.expect_int()};
  const size_t spatial = geometry.stride.size();
  geometry.padding.assign(spatial, 0);
  geometry.output_padding.assign(spatial, 0);
  const bool strided = std::ranges::any_of(geometry.stride, [](int64_t s) { return s != 1; });
  if (padding == "valid") {
    const auto output = convolution_rule(input, weight, bias.value_or(at::Tensor()), geometry);
    return output ? *output : ordinary();
  }
  if (padding != "same" || strided || geometry.dilation.size() != spatial) return ordinary();  // LibTorch says why not
  std::vector<int64_t> further;  // from the last dimension to the first, in front and behind
  for (size_t k = spatial; k-- > 0;) {
    const int64_t total = geometry.dilation[k] * (weight.size(static_cast<int64_t>(k) + 2) - 1);
    geometry.padding[k] = total / 2;
    further.insert(further.end(), {0, total % 2});
  }
  const bool even = std::ranges::all_of(further, [](int64_t n) { return n == 0; });
  const at::Tensor padded = even ? input : at::constant_pad_nd(input, further);
  const auto output = convolution_rule(padded, weight, bias.value_or(at::Tensor()), geometry);
  return output ? *output : ordinary();
}

}  // namespace

void register_convolution_rule(torch::Library& library) {
  library.impl("convolution", &captured_convolution);
  library.impl("_convolution", &captured_underscored);
  library.impl("_convolution.deprecated", &captured_deprecated);
  library.impl("_convolution_mode", &captured_named_padding);
  library.impl("conv1d", &captured_plain<&at::conv1d_symint>);
  library.impl("conv2d", &captured_plain<&at::conv2d_symint>);
  library.impl("conv3d", &captured_plain<&at::conv3d_symint>);
  library.impl("conv1d.padding", &captured_named_padding);
  library.impl("conv2d.padding", &captured_named_padding);
  library.impl("conv3d.padding", &captured_named_padding);
  library.impl("conv_transpose1d", &captured_transposed<&at::conv_transpose1d_symint>);
  library.impl("conv_transpose2d.input", &captured_transposed<&at::conv_transpose2d_symint>);
  library.impl("conv_transpose3d.input", &captured_transposed<&at::conv_transpose3d_symint>);
}

}  // namespace sotto

#include "engine/models/llama_block.h"

#include <torch/nn/modules/linear.h>

#include "base/error.h"
#include "engine/models/lora_linear.h"

namespace sotto {
namespace {

// Turns each pair (x_i, x_{i + d/2}) by its position's angle (Su et al. 2021, §3.2); x [batch, heads, length, d].
at::Tensor turned(const at::Tensor& x, const RotaryTables& rotary) {
  const auto halves = x.chunk(2, -1);
  return x * rotary.cosines + at::cat({-halves[1], halves[0]}, -1) * rotary.sines;
}

}  // namespace

RotaryTables rotary_tables(int64_t length, const LlamaBlockSizes& sizes, const at::TensorOptions& options) {
  const int64_t d = sizes.width / sizes.heads;
  const at::TensorOptions doubles = options.dtype(at::kDouble).requires_grad(false);
  const at::Tensor frequencies =
      at::pow(sizes.rotary_base, at::arange(0, d, 2, doubles) * (-1.0 / static_cast<double>(d)));
  const at::Tensor angles = at::outer(at::arange(length, doubles), frequencies).repeat({1, 2});
  return {angles.cos().to(options.dtype()), angles.sin().to(options.dtype())};
}

LlamaBlock::LlamaBlock(const LlamaBlockSizes& sizes) : sizes_(sizes) {
  require(sizes.width % (2 * sizes.heads) == 0 && sizes.heads % sizes.key_heads == 0, "a width of ", sizes.width,
          " needs heads of an even width, ", sizes.heads, " heads a multiple of ", sizes.key_heads, " for keys");
  const int64_t width = sizes.width, keys = width / sizes.heads * sizes.key_heads;
  attention_norm_ = norm("attention_norm");
  feed_norm_ = norm("feed_norm");
  query_ = linear("query", width, width);
  key_ = linear("key", width, keys);
  value_ = linear("value", width, keys);
  output_ = linear("output", width, width);
  gate_ = linear("gate", width, sizes.feed_forward);
  up_ = linear("up", width, sizes.feed_forward);
  down_ = linear("down", sizes.feed_forward, width);
}

LlamaBlock::Linear LlamaBlock::linear(const std::string& name, int64_t inputs, int64_t outputs) {
  if (sizes_.lora()) {
    const auto layer =
        register_module(name, std::make_shared<LoraLinear>(inputs, outputs, sizes_.lora_rank, sizes_.lora_alpha));
    return [layer](const at::Tensor& x) { return layer->forward(x); };
  }
  const auto layer = register_module(name, torch::nn::Linear(torch::nn::LinearOptions(inputs, outputs).bias(false)));
  return [layer](const at::Tensor& x) mutable { return layer->forward(x); };
}

at::Tensor LlamaBlock::norm(const std::string& name) {
  return register_parameter(name, at::ones({sizes_.width}), /*requires_grad=*/!sizes_.lora());
}

at::Tensor LlamaBlock::attend(const at::Tensor& x, const RotaryTables& rotary) {
  const int64_t d = sizes_.width / sizes_.heads;
  const auto split = [&](const at::Tensor& rows) {
    return rows.view({x.size(0), x.size(1), rows.size(2) / d, d}).transpose(1, 2);
  };
  const int64_t shared = sizes_.heads / sizes_.key_heads;  // queries' heads to one of keys
  const at::Tensor keys = turned(split(key_(x)), rotary).repeat_interleave(shared, 1);
  const at::Tensor values = split(value_(x)).repeat_interleave(shared, 1);
  const at::Tensor mixed = at::scaled_dot_product_attention(turned(split(query_(x)), rotary), keys, values, {}, 0.0,
                                                            /*is_causal=*/true);
  return output_(mixed.transpose(1, 2).reshape(x.sizes()));
}

at::Tensor LlamaBlock::forward(const at::Tensor& x, const RotaryTables& rotary) {
  const auto normed = [&](const at::Tensor& rows, const at::Tensor& weight) {
    return at::rms_norm(rows, {sizes_.width}, weight, sizes_.norm_epsilon);
  };
  const at::Tensor attended = x + attend(normed(x, attention_norm_), rotary);
  const at::Tensor rows = normed(attended, feed_norm_);
  return attended + down_(at::silu(gate_(rows)) * up_(rows));
}

}  // namespace sotto

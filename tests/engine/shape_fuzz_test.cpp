#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/rnn.h>

#include <random>

#include "base/error.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

// As in tape_test.cpp: float32 passes against double, and what the bounds may raise a norm by.
constexpr double kFloatPasses = 3e-5, kWorstRaise = 1e-3;

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  int64_t up_to(int64_t most) { return 1 + static_cast<int64_t>(random_() % static_cast<uint64_t>(most)); }
  bool coin() { return random_() % 2 == 0; }
  std::vector<int64_t> sizes(int64_t count, int64_t most) {
    std::vector<int64_t> made;
    for (int64_t k = 0; k < count; ++k) made.push_back(up_to(most));
    return made;
  }

 private:
  std::mt19937_64 random_;
};

// The same numbers in another memory layout: every operator must read values, not storage.
at::Tensor laid_out(const at::Tensor& x, int64_t kind) {
  switch (kind) {
    case 1: {  // dimensions exchanged in memory
      const at::Tensor turned = x.transpose(0, x.dim() - 1).contiguous();
      return turned.transpose(0, x.dim() - 1);
    }
    case 2: {  // every second element of a wider row
      const at::Tensor wide = at::stack({x, x}, -1).flatten(-2);
      return wide.slice(-1, 0, wide.size(-1), 2);
    }
    case 3:  // one sample for all, with stride 0 over the batch
      return x.select(0, 0).unsqueeze(0).expand_as(x);
    case 4: {  // samples that overlap in memory: each starts where the one before has its second entry
      const at::Tensor flat = at::cat({x.reshape({-1}), x.reshape({-1})}).contiguous();
      std::vector<int64_t> strides = x.contiguous().strides().vec();
      strides[0] = 1;
      return flat.as_strided(x.sizes(), strides);
    }
    default:
      return x;
  }
}

// A layer, or a few, of random sizes, and the shape of a sample of its input.
struct Drawn {
  std::string what;
  Factory make;
  std::vector<int64_t> shape;
  int64_t vocabulary = 0;
};

Drawn draw_linear(Dice& dice) {
  const int64_t in = dice.up_to(9), out = dice.up_to(9);
  const bool bias = dice.coin(), twice = dice.coin() && in == out;
  std::vector<int64_t> shape = dice.sizes(dice.up_to(3) - 1, 5);
  shape.push_back(in);
  return {cat("linear ", in, " to ", out), eager([=](Net& net) -> Forward {
            auto layer = net.add("layer", Linear(LinearOptions(in, out).bias(bias)));
            return [=](const at::Tensor& x) {
              const at::Tensor y = layer.ptr()->forward(x);
              return twice ? layer.ptr()->forward(y.tanh()) : y;
            };
          }),
          shape};
}

template <int kSpatial>
Drawn draw_convolution(Dice& dice) {
  const int64_t groups = dice.up_to(3), in = groups * dice.up_to(3), out = groups * dice.up_to(3), taps = dice.up_to(3);
  const int64_t stride = dice.up_to(2), padding = dice.up_to(3) - 1, dilation = dice.up_to(2);
  std::vector<int64_t> shape = {in};
  for (int k = 0; k < kSpatial; ++k) shape.push_back((taps - 1) * dilation + dice.up_to(kSpatial == 3 ? 3 : 6));
  return {cat("convolution of ", kSpatial, " dimensions, ", in, " to ", out, " channels, ", groups, " groups, ", taps,
              " taps, stride ", stride, ", padding ", padding, ", dilation ", dilation),
          eager([=](Net& net) -> Forward {
            std::vector<int64_t> kernel = {out, in / groups};
            kernel.insert(kernel.end(), kSpatial, taps);
            const at::Tensor weight = net.own("weight", at::randn(kernel)), bias = net.own("bias", at::randn({out}));
            const std::vector<int64_t> s(kSpatial, stride), p(kSpatial, padding), d(kSpatial, dilation), none(kSpatial, 0);
            return [=](const at::Tensor& x) { return at::convolution(x, weight, bias, s, p, d, false, none, groups); };
          }),
          shape};
}

Drawn draw_embedding(Dice& dice) {
  const int64_t rows = 1 + dice.up_to(6), width = dice.up_to(7);
  const bool padded = dice.coin();
  return {cat("embedding ", rows, " by ", width), eager([=](Net& net) -> Forward {
            EmbeddingOptions options(rows, width);
            if (padded) options.padding_idx(0);
            auto table = net.add("table", Embedding(options));
            return [=](const at::Tensor& ids) { return table.ptr()->forward(ids); };
          }),
          dice.sizes(dice.up_to(2), 6), rows};
}

Drawn draw_norm(Dice& dice) {
  const int64_t groups = dice.up_to(3), channels = groups * dice.up_to(3), side = dice.up_to(4);
  const bool by_group = dice.coin();
  const std::vector<int64_t> shape = by_group ? std::vector<int64_t>{channels, side, side} : std::vector<int64_t>{side, channels + 1};
  return {cat(by_group ? "group" : "layer", " norm of ", channels, " channels, ", side, " wide"),
          eager([=](Net& net) -> Forward {
            if (by_group) {
              auto norm = net.add("norm", GroupNorm(GroupNormOptions(groups, channels)));
              return [=](const at::Tensor& x) { return norm.ptr()->forward(x); };
            }
            auto norm = net.add("norm", LayerNorm(LayerNormOptions({channels + 1})));
            return [=](const at::Tensor& x) { return norm.ptr()->forward(x); };
          }),
          shape};
}

Drawn draw_recurrent(Dice& dice) {
  const int64_t in = dice.up_to(5), units = dice.up_to(5), length = dice.up_to(6), layers = dice.up_to(2);
  const bool both = dice.coin();
  return {cat("lstm of ", layers, " layers, ", in, " to ", units, both ? ", both ways" : ""),
          eager([=](Net& net) -> Forward {
            auto lstm = net.add("lstm", LSTM(LSTMOptions(in, units).num_layers(layers).batch_first(true).bidirectional(both)));
            return [=](const at::Tensor& x) { return std::get<0>(lstm.ptr()->forward(x)); };
          }),
          {length, in}};
}

Drawn draw(Dice& dice) {
  switch (dice.up_to(7)) {
    case 1: return draw_convolution<1>(dice);
    case 2: return draw_convolution<2>(dice);
    case 3: return draw_convolution<3>(dice);
    case 4: return draw_embedding(dice);
    case 5: return draw_norm(dice);
    case 6: return draw_recurrent(dice);
    default: return draw_linear(dice);
  }
}

void check(uint64_t seed) {
  Dice dice(seed);
  const Drawn drawn = draw(dice);
  const int64_t batch = dice.up_to(5), kind = dice.up_to(5) - 1;
  SCOPED_TRACE(cat("seed ", seed, ": ", drawn.what, ", batch ", batch, ", a sample ", at::IntArrayRef(drawn.shape), ", layout ", kind));
  at::manual_seed(seed);
  const Case c = {drawn.what, drawn.make, drawn.vocabulary > 0 ? std::function<at::Tensor(int64_t)>([&](int64_t n) {
    std::vector<int64_t> shape = drawn.shape;
    shape.insert(shape.begin(), n);
    return at::randint(drawn.vocabulary, shape, at::kLong);
  })
                                                               : features(drawn.shape)};
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  if (dice.coin()) tape.set_storage_limit(0);
  const at::Tensor input = laid_out(c.input(batch), kind);
  const at::Tensor truth = one_at_a_time(c, subject, input);
  const Measured got = measure(tape, parameters, batch, [&] { return wavy_loss(subject.forward(input)); });
  for (int64_t i = 0; i < batch; ++i) {
    const double norm = truth[i].norm().item<double>(), bound = std::sqrt(got.squared[i].item<double>());
    EXPECT_GE(bound, norm * (1 - kFloatPasses) - 1e-6) << "sample " << i;
    EXPECT_LE(bound, norm * (1 + kWorstRaise) + 1e-5) << "sample " << i;
    EXPECT_LE((got.gradients[i] - truth[i]).norm().item<double>(), kFloatPasses * norm + 1e-5) << "sample " << i;
  }
}

// SOTTO_FUZZ_ROUNDS asks for more; a failure prints its seed, and SOTTO_FUZZ_SEED runs it again.
TEST(ShapeFuzz, AnyShapeAndLayoutAgreesWithOneSampleAtATime) {
  at::set_num_threads(1);
  const auto number = [](const char* name, uint64_t usual) {
    const char* text = std::getenv(name);
    return text ? std::stoull(text) : usual;
  };
  const uint64_t first = number("SOTTO_FUZZ_SEED", 1), rounds = number("SOTTO_FUZZ_ROUNDS", 400);
  for (uint64_t seed = first; seed < first + rounds && !testing::Test::HasFailure(); ++seed) check(seed);
}

}  // namespace
}  // namespace sotto

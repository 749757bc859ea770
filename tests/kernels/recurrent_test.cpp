#include "kernels/recurrent/recurrent.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/recurrent/activations.h"
#include "kernels/recurrent/recurrent_impl.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/instruction_sets.h"
#include "tests/kernels/cases/recurrent_oracle.h"

namespace sotto::kernels {
namespace {

const RecurrentCase kCases[] = {{3, 4, 5, 6, false},  {1, 1, 1, 1, false}, {2, 1, 3, 2, true},   {0, 3, 2, 2, false},
                                {5, 7, 3, 17, true},  {7, 3, 16, 16, false}, {50, 2, 4, 33, false}, {2, 40, 9, 8, true},
                                {13, 3, 70, 65, false}, {6, 2, 0, 5, false}};

const Cell kCells[] = {Cell::lstm, Cell::gru, Cell::tanh, Cell::relu};

MatrixView<float> view(Guarded<float>& values, int64_t rows, int64_t cols) {
  return {values.data(), rows, cols};
}
MatrixView<const float> constant(MatrixView<float> m) {
  return {m.data, m.rows, m.cols};
}

// A layer's float inputs, run by the code under test between guard bands.
struct Outcome {
  std::vector<float> hidden, gates, hidden_gates, bias, hidden_bias, x, first_hidden, first_cell;
};

struct Options {
  int threads = 1;
  bool given_hidden = true, given_last = true, with_x = true;
  InstructionSet set = best_instruction_set();
};

Outcome run(Cell cell, const RecurrentCase& c, const RecurrentInputs& in, const Options& options = {}) {
  const int64_t h = c.hidden, g = gate_count(cell) * h, rows = c.batch * c.length;
  const auto made = [](int64_t count) { return Guarded<float>(std::vector<float>(static_cast<size_t>(count), NAN), false); };
  const auto given = [](const std::vector<float>& values) { return Guarded<float>(values, false); };
  Guarded<float> x = given(in.x), w = given(in.input_weight), u = given(in.hidden_weight), b = given(in.input_bias),
                 v = given(in.hidden_bias), h0 = given(in.first_hidden), c0 = given(in.first_cell),
                 d = given(in.of_hidden), d_last = given(in.of_last_hidden), d_cell = given(in.of_last_cell);
  Guarded<float> hidden = made(rows * h), gates = made(rows * g), state = made(rows * h);
  const RecurrentLayer layer{cell, c.batch, c.length, c.reverse, constant(view(w, g, c.inputs)), constant(view(u, g, h)),
                             {b.data(), g}, {v.data(), g}};
  const RecurrentTrace trace{view(hidden, rows, h), view(gates, rows, g), view(state, rows, h)};
  const Exec exec = Exec::cpu(options.threads);
  const MatrixView<const float> first_hidden = constant(view(h0, c.batch, h)), first_cell = constant(view(c0, c.batch, h));
  const bool best = options.set == best_instruction_set();
  if (!best)
    recurrent_forward_cpu(exec, layer, constant(view(x, rows, c.inputs)), first_hidden, first_cell, trace, options.set);
  else
    recurrent_forward(exec, layer, constant(view(x, rows, c.inputs)), first_hidden, first_cell, trace);

  Guarded<float> hidden_gates = made(rows * g), bias = made(c.batch * g), hidden_bias = made(c.batch * g),
                 dx = made(rows * c.inputs), dh0 = made(c.batch * h), dc0 = made(c.batch * h);
  RecurrentGradient gradient{};
  if (options.given_hidden) gradient.hidden = constant(view(d, rows, h));
  if (options.given_last) gradient.last_hidden = constant(view(d_last, c.batch, h));
  if (options.given_last && cell == Cell::lstm) gradient.last_cell = constant(view(d_cell, c.batch, h));
  RecurrentResult result{view(gates, rows, g), {nullptr, 0, 0}, view(bias, c.batch, g), {nullptr, 0, 0}, {nullptr, 0, 0},
                         view(dh0, c.batch, h), {nullptr, 0, 0}};
  if (options.with_x) result.x = view(dx, rows, c.inputs);
  if (cell == Cell::lstm) result.first_cell = view(dc0, c.batch, h);
  if (cell == Cell::gru) result.hidden_gates = view(hidden_gates, rows, g), result.hidden_bias = view(hidden_bias, c.batch, g);
  if (!best)
    recurrent_backward_cpu(exec, layer, first_hidden, first_cell, trace, gradient, result, options.set);
  else
    recurrent_backward(exec, layer, first_hidden, first_cell, trace, gradient, result);
  Outcome out{hidden.read(), gates.read(), hidden_gates.read(), bias.read(), hidden_bias.read(), dx.read(), dh0.read(), dc0.read()};
  state.read();
  if (cell != Cell::gru) out.hidden_gates = out.gates, out.hidden_bias = out.bias;
  return out;
}

// The largest difference over the largest true value: an error of many float32 operations on values of that size.
double error_of(const std::vector<float>& got, const std::vector<double>& truth) {
  double error = 0, size = 1e-30;
  EXPECT_EQ(got.size(), truth.size());
  for (size_t k = 0; k < truth.size(); ++k) {
    EXPECT_TRUE(std::isfinite(got[k]));
    error = std::max(error, std::fabs(got[k] - truth[k]));
    size = std::max(size, std::fabs(truth[k]));
  }
  return error / size;
}

// d + h products in float32 and a few activations a step; errors of the steps add up, damped by the gates.
double tolerance(const RecurrentCase& c) {
  return double(c.inputs + c.hidden + 16) * double(c.length) * 0x1p-24;
}

class RecurrentTest : public testing::TestWithParam<Cell> {};

TEST_P(RecurrentTest, AgreesWithDoubleInBothDirections) {
  for (const InstructionSet set : sets_of_this_machine())
    for (const RecurrentCase& c : kCases) {
    SCOPED_TRACE(testing::Message() << c.batch << " x " << c.length << ", " << c.inputs << " to " << c.hidden
                                    << ", " << name_of(set));
    const RecurrentInputs in = recurrent_inputs(GetParam(), c, 5);
    const RecurrentTruth truth = recurrent_truth(GetParam(), c, in);
    const Outcome got = run(GetParam(), c, in, {.set = set});
    const double limit = tolerance(c);
    EXPECT_LE(error_of(got.hidden, truth.hidden), limit);
    EXPECT_LE(error_of(got.gates, truth.gates), limit);
    EXPECT_LE(error_of(got.hidden_gates, truth.hidden_gates), limit);
    EXPECT_LE(error_of(got.x, truth.x), limit);
    EXPECT_LE(error_of(got.first_hidden, truth.first_hidden), limit);
    if (GetParam() == Cell::lstm) {
      EXPECT_LE(error_of(got.first_cell, truth.first_cell), limit);
    }
    const int64_t g = gate_count(GetParam()) * c.hidden;
    for (int64_t i = 0; i < c.batch; ++i)
      for (int64_t k = 0; k < g; ++k) {
        double sum = 0, hidden_sum = 0;
        for (int64_t t = 0; t < c.length; ++t) {
          sum += got.gates[(i * c.length + t) * g + k];
          hidden_sum += got.hidden_gates[(i * c.length + t) * g + k];
        }
        EXPECT_NEAR(got.bias[i * g + k], sum, limit * 10);
        EXPECT_NEAR(got.hidden_bias[i * g + k], hidden_sum, limit * 10);
      }
  }
}

// The oracle's backward formulas against differences of its forward ones, in double.
TEST_P(RecurrentTest, OraclesGradientIsTheDerivative) {
  const RecurrentCase c{2, 3, 3, 4, true};
  RecurrentInputs in = recurrent_inputs(GetParam(), c, 9);
  const RecurrentTruth truth = recurrent_truth(GetParam(), c, in);
  constexpr double kStep = 1.0 / 1024;  // exact in the float inputs; central differences err by its square
  const auto derivative = [&](float& value) {
    const float kept = value;
    value = kept + float(kStep);
    const double above = recurrent_truth(GetParam(), c, in).loss, up = value;
    value = kept - float(kStep);
    const double below = recurrent_truth(GetParam(), c, in).loss, down = value;
    value = kept;
    return (above - below) / (up - down);
  };
  for (size_t k = 0; k < in.x.size(); ++k) EXPECT_NEAR(derivative(in.x[k]), truth.x[k], 2e-5) << "x " << k;
  for (size_t k = 0; k < in.first_hidden.size(); ++k)
    EXPECT_NEAR(derivative(in.first_hidden[k]), truth.first_hidden[k], 2e-5) << "h0 " << k;
  for (size_t k = 0; GetParam() == Cell::lstm && k < in.first_cell.size(); ++k) {
    EXPECT_NEAR(derivative(in.first_cell[k]), truth.first_cell[k], 2e-5) << "c0 " << k;
  }
  const int64_t g = gate_count(GetParam()) * c.hidden;
  for (int64_t k = 0; k < g; ++k) {
    double sum = 0, hidden_sum = 0;
    for (int64_t row = 0; row < c.batch * c.length; ++row) sum += truth.gates[row * g + k], hidden_sum += truth.hidden_gates[row * g + k];
    EXPECT_NEAR(derivative(in.input_bias[k]), sum, 2e-5) << "b_ih " << k;
    EXPECT_NEAR(derivative(in.hidden_bias[k]), hidden_sum, 2e-5) << "b_hh " << k;
  }
}

TEST_P(RecurrentTest, ASampleKeepsItsBitsWhateverTheBatchTheThreadsAndItsNeighbours) {
  const RecurrentCase c{57, 5, 7, 21, false};
  RecurrentInputs in = recurrent_inputs(GetParam(), c, 3);
  const Outcome all = run(GetParam(), c, in);
  for (int threads : {2, 3, 8}) {
    const Outcome more = run(GetParam(), c, in, {threads});
    EXPECT_EQ(more.hidden, all.hidden) << threads;
    EXPECT_EQ(more.gates, all.gates);
    EXPECT_EQ(more.hidden_gates.size(), all.hidden_gates.size());
    EXPECT_EQ(more.x, all.x);
    EXPECT_EQ(more.bias, all.bias);
    EXPECT_EQ(more.first_hidden, all.first_hidden);
  }
  const auto part = [](const std::vector<float>& values, int64_t samples, int64_t sample) {
    const auto size = static_cast<int64_t>(values.size()) / samples;
    return std::vector<float>(values.begin() + sample * size, values.begin() + (sample + 1) * size);
  };
  for (const int64_t sample : {0, 20, 56}) {
    const Outcome alone = run(GetParam(), {1, 5, 7, 21, false}, sample_alone(in, c.batch, sample));
    EXPECT_EQ(alone.hidden, part(all.hidden, c.batch, sample));
    EXPECT_EQ(alone.gates, part(all.gates, c.batch, sample));
    EXPECT_EQ(alone.x, part(all.x, c.batch, sample));
    EXPECT_EQ(alone.bias, part(all.bias, c.batch, sample));
  }
  for (const float poison : {NAN, INFINITY}) {
    RecurrentInputs poisoned = in;
    const size_t size = poisoned.x.size() / c.batch;
    for (size_t k = 0; k < size; ++k) poisoned.x[8 * size + k] = poison;
    const Outcome got = run(GetParam(), c, poisoned);
    bool found = false;
    for (const float value : part(got.gates, c.batch, 8)) found = found || !std::isfinite(value);
    for (const float value : part(got.hidden, c.batch, 8)) found = found || !std::isfinite(value);
    EXPECT_TRUE(found || !std::isnan(poison)) << "a NaN may not be lost";
    for (int64_t sample = 0; sample < c.batch; ++sample)
      if (sample != 8) {
        EXPECT_EQ(part(got.hidden, c.batch, sample), part(all.hidden, c.batch, sample));
        EXPECT_EQ(part(got.gates, c.batch, sample), part(all.gates, c.batch, sample));
        EXPECT_EQ(part(got.x, c.batch, sample), part(all.x, c.batch, sample));
      }
  }
}

TEST_P(RecurrentTest, AbsentGradientsCountAsZero) {
  const RecurrentCase c{4, 3, 5, 6, false};
  RecurrentInputs in = recurrent_inputs(GetParam(), c, 4);
  const Outcome absent = run(GetParam(), c, in, {1, false, false, true});
  for (const float value : absent.gates) EXPECT_EQ(value, 0.0f);
  RecurrentInputs zero = in;
  std::fill(zero.of_last_hidden.begin(), zero.of_last_hidden.end(), 0.0f);
  std::fill(zero.of_last_cell.begin(), zero.of_last_cell.end(), 0.0f);
  EXPECT_EQ(run(GetParam(), c, in, {1, true, false, true}).gates, run(GetParam(), c, zero).gates);
  const Outcome without = run(GetParam(), c, in, {1, true, true, false});
  EXPECT_EQ(without.gates, run(GetParam(), c, in).gates);
  for (const float value : without.x) EXPECT_TRUE(std::isnan(value)) << "nobody asked for it";
}

INSTANTIATE_TEST_SUITE_P(, RecurrentTest, testing::ValuesIn(kCells), [](const auto& info) {
  return info.param == Cell::lstm ? "Lstm" : info.param == Cell::gru ? "Gru" : info.param == Cell::tanh ? "Tanh" : "Relu";
});

template <class V>
void activate(float* x, bool sigmoid) {
  V v;
  std::memcpy(&v, x, sizeof v);
  if (sigmoid)
    VectorMath<V>::sigmoid(v);
  else
    VectorMath<V>::tanh(v);
  std::memcpy(x, &v, sizeof v);
}

TEST(Activations, AreWithinTheirRelativeErrorForEveryExponent) {
  constexpr int64_t kCount = 16;
  double worst[2] = {0, 0};
  const auto check = [&](const float (&x)[kCount]) {
    for (const bool sigmoid : {true, false})
      for (const bool wide : {true, false}) {
        float y[kCount];
        std::copy(x, x + kCount, y);
        if (wide)
          activate<Float16>(y, sigmoid);
        else
          activate<Float8>(y, sigmoid), activate<Float8>(y + 8, sigmoid);
        for (int64_t k = 0; k < kCount; ++k) {
          const double truth = sigmoid ? 1 / (1 + std::exp(-double(x[k]))) : std::tanh(double(x[k]));
          if (std::isnan(truth)) {
            EXPECT_TRUE(std::isnan(y[k]));
          } else if (sigmoid && x[k] < -87) {
            EXPECT_LE(std::fabs(y[k] - truth), 0x1p-124);
          } else if (std::fabs(truth) >= 0x1p-126) {
            worst[sigmoid] = std::max(worst[sigmoid], std::fabs(y[k] - truth) / std::fabs(truth));
          } else {
            EXPECT_LE(std::fabs(y[k] - truth), 0x1p-148) << x[k];
          }
        }
      }
  };
  for (uint32_t bits = 0; bits <= 0x7f800000u; bits += 16 * 997) {
    float x[kCount];
    for (uint32_t k = 0; k < kCount; ++k) {
      const uint32_t pattern = std::min(bits + k * 997, 0x7f800000u) | (k % 2 ? 0x80000000u : 0u);
      std::memcpy(&x[k], &pattern, sizeof pattern);
    }
    check(x);
  }
  for (double at = -90; at < 90; at += 0.004) {  // where they bend
    float x[kCount];
    for (int k = 0; k < kCount; ++k) x[k] = float(at + 0.00025 * k);
    check(x);
  }
  check({NAN, -NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-45f, -1e-45f, 87, -87, 88, -88, 20, -20, 10, -10});
  EXPECT_LE(worst[0], kActivationError) << "tanh";
  EXPECT_LE(worst[1], kActivationError) << "sigmoid";
}

// One step, whose products come from outside, against the oracle's sequences of one step.
class CellTest : public BackendTest {
 protected:
  void check(Cell cell, int64_t batch, int64_t h) {
    SCOPED_TRACE(testing::Message() << "cell " << int(cell) << ", " << batch << " x " << h);
    const RecurrentCase c{batch, 1, 3, h, false};
    RecurrentInputs in = recurrent_inputs(cell, c, 8);
    std::fill(in.of_last_hidden.begin(), in.of_last_hidden.end(), 0.0f);
    const RecurrentTruth truth = recurrent_truth(cell, c, in);
    const int64_t g = gate_count(cell) * h, stride = g + 3;
    std::vector<float> a(batch * stride), u(batch * g);
    for (int64_t i = 0; i < batch; ++i)
      for (int64_t k = 0; k < g; ++k) {
        double a_sum = in.input_bias[k], u_sum = in.hidden_bias[k];
        for (int64_t j = 0; j < 3; ++j) a_sum += double(in.input_weight[k * 3 + j]) * in.x[i * 3 + j];
        for (int64_t j = 0; j < h; ++j) u_sum += double(in.hidden_weight[k * h + j]) * in.first_hidden[i * h + j];
        a[i * stride + k] = float(a_sum), u[i * g + k] = float(u_sum);
      }
    Guarded<float> gates(a, on_cuda()), recurrent(u, on_cuda()), h0(in.first_hidden, on_cuda()), c0(in.first_cell, on_cuda());
    Guarded<float> state(std::vector<float>(batch * h), on_cuda()), hidden(std::vector<float>(batch * h), on_cuda());
    Guarded<float> hidden_gates(std::vector<float>(batch * g), on_cuda());
    Guarded<float> of_hidden(in.of_hidden, on_cuda()), of_cell(in.of_last_cell, on_cuda());
    const auto constant = [](Guarded<float>& x, int64_t cols) { return StepRows<const float>{x.data(), cols, cols}; };
    const auto rows = [](Guarded<float>& x, int64_t cols) { return StepRows<float>{x.data(), cols, cols}; };
    cell_forward(exec(2), cell, batch, constant(recurrent, g), constant(h0, h), constant(c0, h), {gates.data(), g, stride},
                 rows(state, h), rows(hidden, h));
    const double limit = 32 * 0x1p-24;
    EXPECT_LE(error_of(hidden.read(), truth.hidden), limit);
    cell_backward(exec(2), cell, batch, constant(h0, h), constant(c0, h), constant(state, h), constant(hidden, h),
                  {gates.data(), g, stride}, rows(hidden_gates, g), rows(of_hidden, h), rows(of_cell, h));
    const std::vector<float> strided = gates.read();
    std::vector<float> packed;
    for (int64_t i = 0; i < batch; ++i) {
      packed.insert(packed.end(), strided.begin() + i * stride, strided.begin() + i * stride + g);
      for (int64_t k = g; k < stride; ++k) EXPECT_EQ(strided[i * stride + k], 0.0f) << "wrote between the rows";
    }
    EXPECT_LE(error_of(packed, truth.gates), limit);
    if (cell == Cell::gru) {
      EXPECT_LE(error_of(hidden_gates.read(), truth.hidden_gates), limit);
    }
    if (cell == Cell::lstm) {
      EXPECT_LE(error_of(of_cell.read(), truth.first_cell), limit);
    }
    // What goes to h_{t−1} beside the gates: the oracle's whole, less what goes through them.
    const std::vector<float> beside = of_hidden.read();
    for (int64_t i = 0; i < batch; ++i)
      for (int64_t j = 0; j < h; ++j) {
        double through = 0;
        for (int64_t k = 0; k < g; ++k) through += truth.hidden_gates[i * g + k] * in.hidden_weight[k * h + j];
        EXPECT_NEAR(beside[i * h + j], truth.first_hidden[i * h + j] - through, limit);
      }
  }
};

TEST_P(CellTest, AgreesWithOneStepInDouble) {
  for (const Cell cell : kCells)
    for (const auto& [batch, h] : std::vector<std::pair<int64_t, int64_t>>{{0, 3}, {1, 1}, {3, 16}, {70, 33}, {2, 300}})
      check(cell, batch, h);
}

SOTTO_ON_EACH_BACKEND(CellTest);

TEST(Recurrent, RefusesSizesThatDoNotMatch) {
  float x[64] = {};
  const auto m = [&](int64_t rows, int64_t cols) { return MatrixView<const float>{x, rows, cols}; };
  const auto o = [&](int64_t rows, int64_t cols) { return MatrixView<float>{x, rows, cols}; };
  const RecurrentLayer good{Cell::tanh, 2, 3, false, m(2, 4), m(2, 2), {nullptr, 0}, {nullptr, 0}};
  const auto forward = [&](const RecurrentLayer& layer, int64_t rows = 6, int64_t first = 2, const Exec& exec = Exec::cpu(1)) {
    recurrent_forward(exec, layer, m(rows, 4), m(first, 2), {nullptr, 0, 0}, {o(6, 2), {nullptr, 0, 0}, {nullptr, 0, 0}});
  };
  EXPECT_NO_THROW(forward(good));
  EXPECT_THROW(forward(good, 5), Error);
  EXPECT_THROW(forward(good, 6, 1), Error);
  EXPECT_THROW(forward(good, 6, 2, Exec::cuda(nullptr)), Error);
  RecurrentLayer bad = good;
  bad.length = 0;
  EXPECT_THROW(forward(bad), Error);
  bad = good, bad.cell = Cell::lstm;
  EXPECT_THROW(forward(bad), Error);
  bad = good, bad.input_bias = {x, 3};
  EXPECT_THROW(forward(bad), Error);
  bad = good, bad.hidden_weight = m(0, 0);
  EXPECT_THROW(forward(bad), Error);
  const StepRows<const float> row{x, 2, 2};
  const StepRows<float> out{x, 2, 2};
  EXPECT_THROW(cell_forward(Exec::cpu(1), Cell::lstm, 2, row, row, row, out, out, out), Error);
  EXPECT_THROW(cell_forward(Exec::cpu(1), Cell::tanh, 2, row, row, row, {x, 2, 1}, out, out), Error);
  EXPECT_THROW(cell_backward(Exec::cpu(1), Cell::gru, 2, row, row, row, row, out, out, out, out), Error);
}

}  // namespace
}  // namespace sotto::kernels

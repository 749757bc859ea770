#include <gtest/gtest.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/utils/rnn.h>

#include "base/error.h"
#include "engine/tape/coverage.h"
#include "engine/tape/recurrent_passes.h"
#include "tests/engine/oracle.h"

namespace sotto {
namespace {

using namespace torch::nn;
using kernels::Cell;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

Probe probe_of(const Subject& subject, const Case& c) {
  return {[input = c.input](int64_t batch, uint64_t seed) {
            at::manual_seed(seed);
            return input(batch);
          },
          [subject](const at::Tensor& x) { return wavy_loss(subject.forward(x)); }};
}

void expect_one_at_a_time(const Case& c) {
  SCOPED_TRACE(c.name);
  constexpr int64_t batch = 5;
  at::manual_seed(2);
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  check_structure(tape, parameters, probe_of(subject, c));
  const at::Tensor input = c.input(batch), truth = one_at_a_time(c, subject, input);
  const Measured got = measure(tape, parameters, batch, [&] { return wavy_loss(subject.forward(input)); });
  for (int64_t i = 0; i < batch; ++i)
    EXPECT_LE((got.gradients[i] - truth[i]).norm().item<double>(), 2e-5 * truth[i].norm().item<double>()) << i;
}

std::string refusal(const Case& c, bool checked = true) {
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  try {
    if (checked) check_structure(tape, parameters, probe_of(subject, c));
    tape.per_sample(6, [&] { return wavy_loss(subject.forward(c.input(6))); });
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::configuration);
    return error.what();
  }
}

// The layer in (T, B, E), as LibTorch has it unless told otherwise, two layers both ways.
template <class Layer, class Options>
Case time_first(const std::string& name, int64_t length) {
  return {name, eager([](Net& net) -> Forward {
            auto r = net.add("r", Layer(Options(4, 5).num_layers(2).bidirectional(true)));
            return [=](const at::Tensor& x) mutable { return std::get<0>(r->forward(x.transpose(0, 1))).transpose(0, 1); };
          }), features({length, 4})};
}

TEST(RecurrentRule, FindsSamplesInTheSecondDimension) {
  for (const int64_t length : {1, 4, 5}) {  // 5 is the batch, too
    expect_one_at_a_time(time_first<LSTM, LSTMOptions>("lstm", length));
    expect_one_at_a_time(time_first<GRU, GRUOptions>("gru", length));
    expect_one_at_a_time(time_first<RNN, RNNOptions>("rnn", length));
  }
}

// Three sequences of a sample in one batch of sequences, a sample's together or one of each sample after another.
TEST(RecurrentRule, TakesSeveralSequencesOfASample) {
  for (const bool together : {true, false})
    expect_one_at_a_time({"sequences", eager([=](Net& net) -> Forward {
                            auto r = net.add("r", LSTM(LSTMOptions(4, 5).batch_first(true)));
                            return [=](const at::Tensor& x) mutable {
                              const int64_t batch = x.size(0);
                              const at::Tensor merged = (together ? x : x.transpose(0, 1)).reshape({3 * batch, 6, 4});
                              const at::Tensor last = std::get<0>(r->forward(merged)).select(1, -1);
                              return together ? last.view({batch, 3, 5}) : last.view({3, batch, 5}).transpose(0, 1);
                            };
                          }), features({3, 6, 4})});
}

TEST(RecurrentRule, RefusesToRunFromOneSampleToTheNext) {
  const Case wrong = {"wrong", eager([](Net& net) -> Forward {
                        auto r = net.add("r", LSTM(LSTMOptions(4, 5)));  // batch_first was forgotten
                        return [=](const at::Tensor& x) mutable { return std::get<0>(r->forward(x)); };
                      }), features({6, 4})};
  for (const bool checked : {true, false}) {
    const std::string message = refusal(wrong, checked);
    EXPECT_NE(message.find("r.weight_ih_l0"), std::string::npos) << message;
    EXPECT_NE(message.find("batch_first"), std::string::npos) << message;
  }
}

TEST(RecurrentRule, RefusesPackedSequencesByName) {
  const Case packed = {"packed", eager([](Net& net) -> Forward {
                         auto r = net.add("r", GRU(GRUOptions(4, 5).batch_first(true)));
                         return [=](const at::Tensor& x) mutable {
                           const at::Tensor lengths = at::full({x.size(0)}, 6, at::kLong);
                           const auto output = r->forward_with_packed_input(utils::rnn::pack_padded_sequence(x, lengths, true));
                           return std::get<0>(utils::rnn::pad_packed_sequence(std::get<0>(output), true));
                         };
                       }), features({6, 4})};
  const std::string message = refusal(packed, false);
  EXPECT_NE(message.find("r.weight_ih_l0"), std::string::npos) << message;
  EXPECT_NE(message.find("packed"), std::string::npos) << message;
}

// No rule has the projection, so that its parameters are found out and samples pass one by one.
// W_ih and W_hh share the gates' gradients, hence one Gram matrix where one norm is asked for.
TEST(RecurrentRule, MeasuresItsWeightsTogetherAsApart) {
  at::manual_seed(6);
  auto r = LSTM(LSTMOptions(4, 9).batch_first(true));
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const auto& item : r->named_parameters()) named.emplace_back(item.key(), item.value());
  const Parameters parameters(named);
  Tape tape(Exec::cpu(1), parameters);
  const at::Tensor x = at::randn({3, 6, 4});
  GradSamples grads = tape.per_sample(3, [&] { return wavy_loss(std::get<0>(r->forward(x))); });
  ASSERT_EQ(grads.parameters[0].factored.size(), 1u);
  ASSERT_EQ(grads.parameters[1].factored.size(), 1u);
  EXPECT_EQ(grads.parameters[0].factored[0].gradient.data_ptr(), grads.parameters[1].factored[0].gradient.data_ptr());
  const at::NoGradGuard no_grad;
  at::Tensor together = at::zeros({1, 3}, at::kDouble), apart = at::zeros({4, 3}, at::kDouble);
  add_squared_norms(Exec::cpu(1), parameters, {0, 0, 0, 0}, grads, together);
  add_squared_norms(Exec::cpu(1), parameters, {0, 1, 2, 3}, grads, apart);
  for (int64_t k = 0; k < 4; ++k)
    for (int64_t i = 0; i < 3; ++i) {
      const double truth = gradient_rows(grads, k, parameters.tensor(k).numel())[i].square().sum().item<double>();
      EXPECT_NEAR(apart[k][i].item<double>(), truth, 1e-3 * truth) << k;
    }
  EXPECT_TRUE(together[0].allclose(apart.sum(0), 1e-3));
}

TEST(RecurrentRule, LeavesProjectionsToOnePassASample) {
  const Case c = {"projected", eager([](Net& net) -> Forward {
                    auto r = net.add("r", LSTM(LSTMOptions(4, 5).proj_size(3).batch_first(true)));
                    return [=](const at::Tensor& x) mutable { return std::get<0>(r->forward(x)); };
                  }), features({6, 4})};
  const std::string message = refusal(c, false);
  EXPECT_NE(message.find("parameter r."), std::string::npos) << message;
  const Subject subject = c.make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  EXPECT_EQ(uncaptured_parameters(tape, parameters, probe_of(subject, c)).size(), 5u);
}

TEST(RecurrentRule, RefusesOutputsThatAreChangedInPlace) {
  const Factory make = eager([](Net& net) -> Forward {
    auto r = net.add("r", LSTM(LSTMOptions(4, 5).batch_first(true)));
    return [=](const at::Tensor& x) mutable { return std::get<0>(r->forward(x)).mul_(2); };
  });
  const Subject subject = make();
  const Parameters parameters(subject.named());
  Tape tape(Exec::cpu(1), parameters);
  EXPECT_THROW(tape.per_sample(3, [&] { return wavy_loss(subject.forward(at::randn({3, 6, 4}))); }), c10::Error);
}

TEST(RecurrentRule, DropsBetweenLayersInTrainingAlone) {
  const auto outputs = [](bool train, double dropout, uint64_t seed) {
    at::manual_seed(1);
    auto r = LSTM(LSTMOptions(4, 64).num_layers(2).dropout(dropout).batch_first(true));
    r->train(train);
    std::vector<std::pair<std::string, at::Tensor>> named;
    for (const auto& item : r->named_parameters()) named.emplace_back(item.key(), item.value());
    const Parameters parameters(named);
    Tape tape(Exec::cpu(1), parameters);
    const at::Tensor x = at::randn({3, 6, 4});
    at::manual_seed(seed);
    at::Tensor output;
    tape.per_sample(3, [&] {
      output = std::get<0>(r->forward(x));
      return wavy_loss(output);
    });
    return output.detach();
  };
  const at::Tensor all = outputs(true, 0, 1);
  EXPECT_TRUE(outputs(false, 0.5, 1).equal(all));
  EXPECT_FALSE(outputs(true, 0.5, 1).allclose(all, 1e-2, 1e-2));
  EXPECT_TRUE(outputs(true, 0.5, 1).equal(outputs(true, 0.5, 1)));
  EXPECT_FALSE(outputs(true, 0.5, 1).equal(outputs(true, 0.5, 2)));
}

struct Direct {
  Cell cell;
  bool reverse, biases;
};

// Weights and inputs of one direction of one layer, and what LibTorch's own operator makes of them.
struct Layer {
  RecurrentWeights weights;
  RecurrentTensors tensors;
  std::vector<at::Tensor> leaves;

  Layer(const Direct& d, int64_t batch, int64_t length, int64_t inputs, int64_t units) {
    const int64_t gates = kernels::gate_count(d.cell) * units;
    const double scale = 1 / std::sqrt(double(units));
    const auto uniform = [&](at::IntArrayRef shape) { return at::rand(shape).mul_(2).sub_(1).mul_(scale); };
    weights = {d.cell, d.reverse, uniform({gates, inputs}), uniform({gates, units}),
               d.biases ? uniform({gates}) : at::Tensor(), d.biases ? uniform({gates}) : at::Tensor()};
    tensors.x = at::randn({batch, length, inputs});
    tensors.first_hidden = at::randn({batch, units}).tanh();
    if (d.cell == Cell::lstm) tensors.first_cell = at::randn({batch, units});
  }

  std::vector<at::Tensor> libtorch() const {
    const auto& w = weights;
    const at::Tensor x = w.reverse ? tensors.x.flip(1) : tensors.x, h = tensors.first_hidden.unsqueeze(0);
    std::vector<at::Tensor> parameters = {w.input_weight, w.hidden_weight};
    const bool biases = w.input_bias.defined();
    if (biases) parameters.insert(parameters.end(), {w.input_bias, w.hidden_bias});
    const auto two = [&](const std::tuple<at::Tensor, at::Tensor>& r) { return std::vector<at::Tensor>{std::get<0>(r)}; };
    std::vector<at::Tensor> made;
    if (w.cell == Cell::lstm) {
      const auto r = at::lstm(x, {h, tensors.first_cell.unsqueeze(0)}, parameters, biases, 1, 0, false, false, true);
      made = {std::get<0>(r)};
    } else if (w.cell == Cell::gru) {
      made = two(at::gru(x, h, parameters, biases, 1, 0, false, false, true));
    } else if (w.cell == Cell::tanh) {
      made = two(at::rnn_tanh(x, h, parameters, biases, 1, 0, false, false, true));
    } else {
      made = two(at::rnn_relu(x, h, parameters, biases, 1, 0, false, false, true));
    }
    return {w.reverse ? made[0].flip(1) : made[0]};
  }
};

class RecurrentPasses : public ::testing::Test {
 protected:
  template <class Check>
  void for_each(const Check& check) {
    for (const Cell cell : {Cell::lstm, Cell::gru, Cell::tanh, Cell::relu})
      for (const bool reverse : {false, true})
        for (const bool biases : {false, true}) {
          SCOPED_TRACE(cat("cell ", static_cast<int>(cell), reverse ? ", reverse" : "", biases ? "" : ", no biases"));
          at::manual_seed(4);
          check(Direct{cell, reverse, biases});
        }
  }
};

// Rounding alone: each step has a dot product of d + h terms and errs by a few units of float32 more in its
// activations; the states are bounded by 1, and with these weights the recurrence does not amplify.
TEST_F(RecurrentPasses, ForwardDiffersFromLibTorchsByRoundingOnly) {
  for_each([](const Direct& d) {
    for (const auto& [length, units] : std::vector<std::pair<int64_t, int64_t>>{{1, 3}, {64, 128}, {7, 33}}) {
      Layer layer(d, 5, length, 9, units);
      const at::Tensor truth = layer.libtorch()[0];
      recurrent_forward(Exec::cpu(2), layer.weights, layer.tensors);
      const double bound = double(9 + units + 16) * 0x1p-24 * std::max(1.0, truth.abs().max().item<double>());
      EXPECT_LE((layer.tensors.hidden - truth).abs().max().item<double>(), bound) << length << " x " << units;
    }
  });
}

// What CUDA does, held against the CPU's kernels: gradients of everything.
TEST_F(RecurrentPasses, StepsAgreeWithWholeLayers) {
  for_each([](const Direct& d) {
    Layer layer(d, 5, 6, 9, 19), other = layer;
    const at::Tensor hidden = at::randn({5, 6, 19}), last = at::randn({5, 19}),
                     cell = d.cell == Cell::lstm ? at::randn({5, 19}) : at::Tensor();
    for (const bool given : {true, false}) {
      const auto maybe = [&](const at::Tensor& x) { return given ? x : at::Tensor(); };
      recurrent_forward(Exec::cpu(2), layer.weights, layer.tensors);
      recurrent_forward_by_steps(Exec::cpu(2), other.weights, other.tensors);
      EXPECT_TRUE(layer.tensors.hidden.allclose(other.tensors.hidden, 1e-5, 1e-6));
      const auto a = recurrent_backward(Exec::cpu(2), layer.weights, layer.tensors, maybe(hidden), last, maybe(cell), given);
      const auto b = recurrent_backward_by_steps(Exec::cpu(2), other.weights, other.tensors, maybe(hidden), last, maybe(cell), given);
      const std::pair<at::Tensor, at::Tensor> pairs[] = {
          {a.gates, b.gates}, {a.hidden_gates, b.hidden_gates}, {a.bias, b.bias}, {a.hidden_bias, b.hidden_bias},
          {a.x, b.x}, {a.first_hidden, b.first_hidden}, {a.first_cell, b.first_cell}};
      for (size_t k = 0; k < std::size(pairs); ++k) {
        ASSERT_EQ(pairs[k].first.defined(), pairs[k].second.defined()) << k;
        if (pairs[k].first.defined()) {
          EXPECT_TRUE(pairs[k].first.allclose(pairs[k].second, 1e-4, 1e-5)) << k;
        }
      }
    }
  });
}

}  // namespace
}  // namespace sotto

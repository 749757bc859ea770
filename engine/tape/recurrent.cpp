#include "base/error.h"
#include "engine/tape/recurrent_layer.h"

namespace sotto {
namespace {

using kernels::Cell;
using Tensors = std::vector<at::Tensor>;

// What every one of LibTorch's recurrent operators is called with.
struct Call {
  const char* name;
  Cell cell;
  const at::Tensor& input;
  Tensors states;  // first hidden, and first cell of the LSTM: [layers · directions, N, h]
  at::TensorList parameters;
  bool biases;
  int64_t layers;
  double dropout;
  bool train, bidirectional, batch_first;

  int64_t directions() const { return bidirectional ? 2 : 1; }
  size_t parameters_each() const { return biases ? 4 : 2; }
};

// Whether the rule may take this call: some parameter is owned, and none that is trained in another way (a cast, a
// slice, one that no rule may take) would lose its gradient. An LSTM with projections is left to the coverage walk.
bool applies(const Call& call, const RecorderPointer& recorder) {
  const at::ScalarType type = call.input.scalar_type();
  if (!recorder || (type != at::kFloat && type != at::kBFloat16) || call.input.dim() != 3) return false;
  if (call.parameters.size() != static_cast<size_t>(call.layers * call.directions()) * call.parameters_each())
    return false;
  bool owned = false;
  for (const at::Tensor& parameter : call.parameters) {
    const bool own = recorder->find(parameter) >= 0;
    if (!own && parameter.requires_grad()) return false;
    owned = owned || own;
  }
  return owned;
}

// Records the uses of one direction's parameters. `input` has the dimensions that the caller gave its own.
std::shared_ptr<RecurrentUse> record(const Call& call, const RecorderPointer& recorder, int64_t number, bool reverse,
                                     const at::Tensor& input) {
  const auto own = call.parameters.slice(static_cast<size_t>(number) * call.parameters_each(), call.parameters_each());
  const auto bias = [&](size_t k) { return call.biases ? own[k] : at::Tensor(); };
  int64_t indices[4] = {-1, -1, -1, -1};
  BatchLayout layout = {.dimension = call.batch_first ? 0 : 1};
  const BatchLayout expected = layout;
  for (size_t k = 0; k < own.size(); ++k) {
    indices[k] = recorder->find(own[k]);
    if (indices[k] < 0) continue;
    layout = recorder->record_use(indices[k], call.name, input);
    const bool fits = layout.merged ? call.batch_first : layout.dimension == expected.dimension;
    if (!fits && !recorder->observing)
      recorder->refuse(cat("parameter ", recorder->parameters.name(indices[k]), ": its ", call.name,
                           " takes dimension ", expected.dimension, " of its input for the sequences (batch_first = ",
                           call.batch_first, "), but the samples are in dimension ", layout.dimension,
                           ", so it would run from one sample to the next; set batch_first to what the input is"));
  }
  if (!layout.merged) layout.dimension = 0;  // of the sequences first
  return std::make_shared<RecurrentUse>(RecurrentUse{recorder,
                                                     {call.cell, reverse, own[0], own[1], bias(2), bias(3)},
                                                     indices[0],
                                                     indices[1],
                                                     indices[2],
                                                     indices[3],
                                                     layout,
                                                     {}});
}

// {output, last hidden} and the LSTM's last cell, or nothing where no rule applies.
std::optional<Tensors> recurrent_rule(const Call& call) {
  const RecorderPointer recorder = current_recorder();
  if (!applies(call, recorder)) return std::nullopt;
  const AutocastOff in_floats;
  at::Tensor x = in_float(call.batch_first ? call.input : call.input.transpose(0, 1));  // sequences first
  std::vector<Tensors> last(call.states.size());
  for (int64_t layer = 0; layer < call.layers; ++layer) {
    if (layer > 0 && call.dropout > 0) x = at::dropout(x, call.dropout, call.train);
    Tensors hidden;
    for (int64_t direction = 0; direction < call.directions(); ++direction) {
      const int64_t number = layer * call.directions() + direction;
      auto use = record(call, recorder, number, direction == 1, call.batch_first ? x : x.transpose(0, 1));
      Tensors states;
      for (const at::Tensor& state : call.states) states.push_back(in_float(state.select(0, number)));
      const Tensors outputs =
          run_recurrent_layer(x, states[0], states.size() > 1 ? states[1] : at::Tensor(), std::move(use));
      hidden.push_back(outputs[0]);
      for (size_t k = 0; k < last.size(); ++k) last[k].push_back(outputs[k + 1]);
    }
    x = hidden.size() == 1 ? hidden[0] : at::cat(hidden, 2);
  }
  Tensors results = {call.batch_first ? x : x.transpose(0, 1)};
  for (const Tensors& states : last) results.push_back(at::stack(states));
  return results;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> captured_lstm(const at::Tensor& input, at::TensorList states,
                                                             at::TensorList parameters, bool biases, int64_t layers,
                                                             double dropout, bool train, bool bidirectional,
                                                             bool batch_first) {
  const CaptureOff off(kCaptureKey);
  const bool projected = states.size() == 2 && states[0].size(-1) != states[1].size(-1);
  if (!projected)
    if (const auto results = recurrent_rule({"lstm", Cell::lstm, input, states.vec(), parameters, biases, layers,
                                             dropout, train, bidirectional, batch_first}))
      return {(*results)[0], (*results)[1], (*results)[2]};
  return at::lstm(input, states, parameters, biases, layers, dropout, train, bidirectional, batch_first);
}

using OneState = std::tuple<at::Tensor, at::Tensor>;
using OneStateOperator = OneState (*)(const at::Tensor&, const at::Tensor&, at::TensorList, bool, int64_t, double, bool,
                                      bool, bool);

template <Cell kCell>
constexpr const char* kName = kCell == Cell::gru    ? "gru"
                              : kCell == Cell::tanh ? "rnn_tanh"
                                                    : "rnn_relu";

template <Cell kCell, OneStateOperator kOperator>
OneState captured_recurrent(const at::Tensor& input, const at::Tensor& state, at::TensorList parameters, bool biases,
                            int64_t layers, double dropout, bool train, bool bidirectional, bool batch_first) {
  const CaptureOff off(kCaptureKey);
  if (const auto results = recurrent_rule({kName<kCell>,
                                           kCell,
                                           input,
                                           {state},
                                           parameters,
                                           biases,
                                           layers,
                                           dropout,
                                           train,
                                           bidirectional,
                                           batch_first}))
    return {(*results)[0], (*results)[1]};
  return kOperator(input, state, parameters, biases, layers, dropout, train, bidirectional, batch_first);
}

// Packed sequences: a step's rows are those of the samples that are long enough, so that no dimension is the batch.
void refuse_packed(const char* name, at::TensorList parameters) {
  const RecorderPointer recorder = current_recorder();
  if (!recorder) return;
  for (const at::Tensor& parameter : parameters)
    if (const int64_t index = recorder->find(parameter); index >= 0)
      recorder->refuse(cat("parameter ", recorder->parameters.name(index), ": its ", name,
                           " runs over a packed sequence, in which no dimension is the batch; pass the padded tensor "
                           "[batch, length, features] instead and mask or select the outputs"));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> captured_packed_lstm(const at::Tensor& data, const at::Tensor& sizes,
                                                                    at::TensorList states, at::TensorList parameters,
                                                                    bool biases, int64_t layers, double dropout,
                                                                    bool train, bool bidirectional) {
  const CaptureOff off(kCaptureKey);
  refuse_packed("lstm", parameters);
  return at::lstm(data, sizes, states, parameters, biases, layers, dropout, train, bidirectional);
}

using PackedOperator = OneState (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&, at::TensorList, bool,
                                    int64_t, double, bool, bool);

template <Cell kCell, PackedOperator kOperator>
OneState captured_packed(const at::Tensor& data, const at::Tensor& sizes, const at::Tensor& state,
                         at::TensorList parameters, bool biases, int64_t layers, double dropout, bool train,
                         bool bidirectional) {
  const CaptureOff off(kCaptureKey);
  refuse_packed(kName<kCell>, parameters);
  return kOperator(data, sizes, state, parameters, biases, layers, dropout, train, bidirectional);
}

}  // namespace

void register_recurrent_rule(torch::Library& library) {
  library.impl("lstm.input", &captured_lstm);
  library.impl("gru.input", &captured_recurrent<Cell::gru, at::gru>);
  library.impl("rnn_tanh.input", &captured_recurrent<Cell::tanh, at::rnn_tanh>);
  library.impl("rnn_relu.input", &captured_recurrent<Cell::relu, at::rnn_relu>);
  library.impl("lstm.data", &captured_packed_lstm);
  library.impl("gru.data", &captured_packed<Cell::gru, at::gru>);
  library.impl("rnn_tanh.data", &captured_packed<Cell::tanh, at::rnn_tanh>);
  library.impl("rnn_relu.data", &captured_packed<Cell::relu, at::rnn_relu>);
  register_recurrent_cell_rule(library);
}

}  // namespace sotto

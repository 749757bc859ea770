#include <torch/nn/modules/rnn.h>

#include "tests/engine/subject.h"

namespace sotto {
namespace {

using namespace torch::nn;
using Forward = std::function<at::Tensor(const at::Tensor&)>;

Linear head(Net& net, int64_t inputs) {
  return net.add("head", Linear(inputs, 2));
}

// The layer between a linear layer, so that input gradients matter, and a head over its last hidden state and outputs.
template <class Layer, class Options>
Factory layer(const Options& options, const std::vector<std::string>& frozen = {}) {
  return eager([=](Net& net) -> Forward {
    auto first = net.add("first", Linear(3, options.input_size()));
    auto r = net.add("r", Layer(options));
    auto b = head(net, options.hidden_size() * (options.bidirectional() ? 2 : 1));
    for (const std::string& name : frozen) net.named_parameters()[name].set_requires_grad(false);
    const bool batch_first = options.batch_first();
    return [=](const at::Tensor& x) mutable {
      const at::Tensor y = first->forward(x);
      const auto [output, state] = r->forward(batch_first ? y : y.transpose(0, 1));
      at::Tensor last;
      if constexpr (std::is_same_v<Layer, LSTM>)
        last = std::get<0>(state).sum(0) + std::get<1>(state).sum(0).sin();
      else
        last = state.sum(0);
      const at::Tensor outputs = b->forward(batch_first ? output : output.transpose(0, 1));
      return at::cat({outputs.flatten(1), last}, 1);
    };
  });
}

LSTMOptions lstm(int64_t layers = 1) {
  return LSTMOptions(4, 5).num_layers(layers).batch_first(true);
}
GRUOptions gru(int64_t layers = 1) {
  return GRUOptions(4, 5).num_layers(layers).batch_first(true);
}
RNNOptions rnn(int64_t layers = 1) {
  return RNNOptions(4, 5).num_layers(layers).batch_first(true);
}

// On data, with the last output alone, as a classifier has it.
Factory classifier(int64_t inputs, int64_t units) {
  return eager([=](Net& net) -> Forward {
    auto r = net.add("r", LSTM(LSTMOptions(inputs, units).batch_first(true)));
    auto b = head(net, units);
    return [=](const at::Tensor& x) mutable { return b->forward(std::get<0>(r->forward(x)).select(1, -1)); };
  });
}

}  // namespace

std::vector<Case> recurrent_cases() {
  const auto x = features({6, 3});
  std::vector<Case> cases = {
      {"lstm", layer<LSTM>(lstm()), x},
      {"lstm of two layers", layer<LSTM>(lstm(2)), x},
      {"lstm both ways, two layers", layer<LSTM>(lstm(2).bidirectional(true)), x},
      {"lstm without biases", layer<LSTM>(lstm().bias(false)), x},
      {"lstm, one step", layer<LSTM>(lstm()), features({1, 3})},
      {"lstm, both ways, one step", layer<LSTM>(lstm().bidirectional(true)), features({1, 3})},
      {"lstm whose dropout leaves nothing", layer<LSTM>(lstm(2).dropout(1.0)), x},
      {"gru", layer<GRU>(gru()), x},
      {"gru both ways, two layers", layer<GRU>(gru(2).bidirectional(true)), x},
      {"gru without biases", layer<GRU>(gru().bias(false)), x},
      {"rnn, tanh", layer<RNN>(rnn()), x},
      {"rnn, relu", layer<RNN>(rnn(2).nonlinearity(torch::kReLU)), x},
      {"rnn both ways", layer<RNN>(rnn().bidirectional(true)), x},
      {"lstm classifier, gradients stored", classifier(7, 3), features({40, 7})},
      {"lstm classifier, wider than a vector", classifier(17, 19), features({5, 17})},
      {"lstm twice", eager([](Net& net) -> Forward {
         auto r = net.add("r", LSTM(LSTMOptions(4, 4).batch_first(true)));
         return [=](const at::Tensor& x) mutable {
           const at::Tensor y = std::get<0>(r->forward(x));
           return std::get<0>(r->forward(y + x));
         };
       }), features({5, 4})},
      {"lstm that starts from the data", eager([](Net& net) -> Forward {
         auto a = net.add("a", Linear(4, 10));
         auto r = net.add("r", LSTM(LSTMOptions(4, 5).batch_first(true)));
         return [=](const at::Tensor& x) mutable {
           const auto states = a->forward(x.mean(1)).unsqueeze(0).tanh().chunk(2, -1);
           const auto [output, state] = r->forward(x, std::make_tuple(states[0], states[1]));
           return at::cat({output.flatten(1), std::get<1>(state)[0]}, 1);
         };
       }), features({5, 4})},
      {"gru that starts from the data", eager([](Net& net) -> Forward {
         auto a = net.add("a", Linear(4, 5));
         auto r = net.add("r", GRU(GRUOptions(4, 5).batch_first(true)));
         return [=](const at::Tensor& x) mutable {
           return std::get<0>(r->forward(x, a->forward(x.mean(1)).unsqueeze(0).tanh()));
         };
       }), features({5, 4})},
      {"lstm cell over a sequence", eager([](Net& net) -> Forward {
         auto r = net.add("r", LSTMCell(LSTMCellOptions(4, 5)));
         return [=](const at::Tensor& x) mutable {
           auto state = std::make_tuple(at::zeros({x.size(0), 5}, x.options()), at::zeros({x.size(0), 5}, x.options()));
           for (int64_t t = 0; t < x.size(1); ++t) state = r->forward(x.select(1, t), state);
           return at::cat({std::get<0>(state), std::get<1>(state)}, 1);
         };
       }), features({3, 4})},
      {"gru cell over a sequence", eager([](Net& net) -> Forward {
         auto r = net.add("r", GRUCell(GRUCellOptions(4, 5)));
         return [=](const at::Tensor& x) mutable {
           at::Tensor state = at::zeros({x.size(0), 5}, x.options());
           for (int64_t t = 0; t < x.size(1); ++t) state = r->forward(x.select(1, t), state);
           return state;
         };
       }), features({3, 4})},
      {"rnn cells over a sequence", eager([](Net& net) -> Forward {
         auto r = net.add("r", RNNCell(RNNCellOptions(4, 5)));
         auto s = net.add("s", RNNCell(RNNCellOptions(4, 5).nonlinearity(torch::kReLU)));
         return [=](const at::Tensor& x) mutable {
           at::Tensor a = at::zeros({x.size(0), 5}, x.options()), b = a;
           for (int64_t t = 0; t < x.size(1); ++t)
             a = r->forward(x.select(1, t), a), b = s->forward(x.select(1, t), b);
           return a + b;
         };
       }), features({3, 4})},
      {"scripted gru", scripted({{"w", {12, 3}}, {"u", {12, 4}}, {"b", {12}}, {"c", {12}}},
                                "def forward(self, x):\n"
                                "  h = torch.zeros([1, x.size(0), 4], dtype=x.dtype)\n"
                                "  y, _ = torch.gru(x, h, [self.w, self.u, self.b, self.c], True, 1, 0.0, True, False, True)\n"
                                "  return y\n"),
       features({5, 3})}};
  for (const std::string frozen : {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}) {
    cases.push_back({"lstm, " + frozen + " frozen", layer<LSTM>(lstm(), {"r." + frozen}), x});
    cases.push_back({"gru, " + frozen + " frozen", layer<GRU>(gru(), {"r." + frozen}), x});
  }
  cases.push_back({"lstm, first layer and weights of the second frozen",
                   layer<LSTM>(lstm(2), {"first.weight", "first.bias", "r.weight_ih_l0", "r.weight_hh_l0", "r.bias_ih_l0",
                                         "r.bias_hh_l0", "r.weight_ih_l1", "r.weight_hh_l1"}), x});
  cases.push_back({"lstm, all frozen", layer<LSTM>(lstm(), {"r.weight_ih_l0", "r.weight_hh_l0", "r.bias_ih_l0", "r.bias_hh_l0"}), x});
  return cases;
}

}  // namespace sotto

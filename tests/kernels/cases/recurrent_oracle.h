#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/recurrent/recurrent.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {

struct RecurrentCase {
  int64_t batch, length, inputs, hidden;
  bool reverse;
};

struct RecurrentInputs {
  std::vector<float> x, input_weight, hidden_weight, input_bias, hidden_bias, first_hidden, first_cell;
  std::vector<float> of_hidden, of_last_hidden, of_last_cell;  // the loss is linear in the outputs, with these weights
};

inline RecurrentInputs recurrent_inputs(Cell cell, const RecurrentCase& c, uint64_t seed) {
  const int64_t g = gate_count(cell) * c.hidden, rows = c.batch * c.length;
  const auto normal = [&](int64_t count, float scale) { return normal_values(count, seed++, scale); };
  const float scale = 0.8f / std::sqrt(float(c.hidden));
  return {normal(rows * c.inputs, 1),         normal(g * c.inputs, scale),     normal(g * c.hidden, scale),
          normal(g, 0.3f),                    normal(g, 0.3f),                 normal(c.batch * c.hidden, 0.5f),
          normal(c.batch * c.hidden, 0.5f),   normal(rows * c.hidden, 1),      normal(c.batch * c.hidden, 1),
          normal(c.batch * c.hidden, 1)};
}

inline RecurrentInputs sample_alone(const RecurrentInputs& in, int64_t batch, int64_t sample) {
  RecurrentInputs one = in;
  for (auto* values : {&one.x, &one.first_hidden, &one.first_cell, &one.of_hidden, &one.of_last_hidden, &one.of_last_cell}) {
    const auto size = static_cast<int64_t>(values->size()) / batch;
    *values = {values->begin() + sample * size, values->begin() + (sample + 1) * size};
  }
  return one;
}

struct RecurrentTruth {
  double loss = 0;
  std::vector<double> hidden, gates, hidden_gates, x, first_hidden, first_cell;  // gradients, but for hidden
};

// The formulas of recurrent.h a number at a time in double, and their derivatives by the chain rule.
inline RecurrentTruth recurrent_truth(Cell cell, const RecurrentCase& c, const RecurrentInputs& in) {
  const int64_t h = c.hidden, d = c.inputs, n = gate_count(cell), g = n * h;
  const auto sigma = [](double v) { return 1 / (1 + std::exp(-v)); };
  const auto zeros = [](int64_t count) { return std::vector<double>(static_cast<size_t>(count), 0.0); };
  RecurrentTruth out{0, zeros(c.batch * c.length * h), zeros(c.batch * c.length * g), zeros(c.batch * c.length * g),
                     zeros(c.batch * c.length * d), zeros(c.batch * h), zeros(c.batch * h)};
  for (int64_t b = 0; b < c.batch; ++b) {
    struct Step {
      std::vector<double> gate, u, before, cell_before, cell;
    };
    std::vector<Step> steps;
    std::vector<double> state(in.first_hidden.begin() + b * h, in.first_hidden.begin() + (b + 1) * h);
    std::vector<double> memory(in.first_cell.begin() + b * h, in.first_cell.begin() + (b + 1) * h);
    const auto row_of = [&](int64_t s) { return b * c.length + (c.reverse ? c.length - 1 - s : s); };
    for (int64_t s = 0; s < c.length; ++s) {
      const int64_t row = row_of(s);
      Step step{zeros(g), zeros(g), state, memory, {}};
      for (int64_t k = 0; k < g; ++k) {
        double a = in.input_bias[k], u = in.hidden_bias[k];
        for (int64_t j = 0; j < d; ++j) a += double(in.input_weight[k * d + j]) * in.x[row * d + j];
        for (int64_t j = 0; j < h; ++j) u += double(in.hidden_weight[k * h + j]) * state[j];
        step.gate[k] = a, step.u[k] = u;
      }
      for (int64_t j = 0; j < h; ++j) {
        double* q = step.gate.data() + j;
        const double* u = step.u.data() + j;
        if (cell == Cell::lstm) {
          for (int64_t k : {0, 1, 3}) q[k * h] = sigma(q[k * h] + u[k * h]);
          q[2 * h] = std::tanh(q[2 * h] + u[2 * h]);
          memory[j] = q[h] * memory[j] + q[0] * q[2 * h];
          state[j] = q[3 * h] * std::tanh(memory[j]);
        } else if (cell == Cell::gru) {
          for (int64_t k : {0, 1}) q[k * h] = sigma(q[k * h] + u[k * h]);
          q[2 * h] = std::tanh(q[2 * h] + q[0] * u[2 * h]);
          state[j] = (1 - q[h]) * q[2 * h] + q[h] * step.before[j];
        } else {
          state[j] = cell == Cell::tanh ? std::tanh(q[0] + u[0]) : std::max(0.0, q[0] + u[0]);
        }
      }
      step.cell = memory;
      for (int64_t j = 0; j < h; ++j) {
        out.hidden[row * h + j] = state[j];
        out.loss += state[j] * in.of_hidden[row * h + j];
      }
      steps.push_back(step);
    }
    std::vector<double> of_state(in.of_last_hidden.begin() + b * h, in.of_last_hidden.begin() + (b + 1) * h);
    std::vector<double> of_memory(in.of_last_cell.begin() + b * h, in.of_last_cell.begin() + (b + 1) * h);
    if (cell != Cell::lstm) of_memory = zeros(h);
    for (int64_t j = 0; j < h; ++j) out.loss += state[j] * of_state[j] + (cell == Cell::lstm ? memory[j] * of_memory[j] : 0);
    for (int64_t s = c.length - 1; s >= 0; --s) {
      const int64_t row = row_of(s);
      const Step& step = steps[s];
      std::vector<double> before = zeros(h);
      for (int64_t j = 0; j < h; ++j) {
        const double dh = of_state[j] + in.of_hidden[row * h + j];
        const double* q = step.gate.data() + j;
        double* da = out.gates.data() + row * g + j;
        double* du = out.hidden_gates.data() + row * g + j;
        if (cell == Cell::lstm) {
          const double squashed = std::tanh(step.cell[j]);
          const double dc = of_memory[j] + dh * q[3 * h] * (1 - squashed * squashed);
          da[0] = dc * q[2 * h] * q[0] * (1 - q[0]);
          da[h] = dc * step.cell_before[j] * q[h] * (1 - q[h]);
          da[2 * h] = dc * q[0] * (1 - q[2 * h] * q[2 * h]);
          da[3 * h] = dh * squashed * q[3 * h] * (1 - q[3 * h]);
          of_memory[j] = dc * q[h];
        } else if (cell == Cell::gru) {
          const double dn = dh * (1 - q[h]) * (1 - q[2 * h] * q[2 * h]);
          da[0] = dn * step.u[2 * h + j] * q[0] * (1 - q[0]);
          da[h] = dh * (step.before[j] - q[2 * h]) * q[h] * (1 - q[h]);
          da[2 * h] = dn;
          du[2 * h] = dn * q[0];
          before[j] += dh * q[h];
        } else {
          const double out_value = out.hidden[row * h + j];
          da[0] = cell == Cell::tanh ? dh * (1 - out_value * out_value) : out_value > 0 ? dh : 0;
        }
        for (int64_t k = 0; k < n; ++k)
          if (!(cell == Cell::gru && k == 2)) du[k * h] = da[k * h];
      }
      for (int64_t k = 0; k < g; ++k) {
        for (int64_t j = 0; j < h; ++j) before[j] += out.hidden_gates[row * g + k] * in.hidden_weight[k * h + j];
        for (int64_t j = 0; j < d; ++j) out.x[row * d + j] += out.gates[row * g + k] * in.input_weight[k * d + j];
      }
      of_state = before;
    }
    std::copy(of_state.begin(), of_state.end(), out.first_hidden.begin() + b * h);
    std::copy(of_memory.begin(), of_memory.end(), out.first_cell.begin() + b * h);
  }
  return out;
}

}  // namespace sotto::kernels

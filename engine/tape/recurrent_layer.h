#pragma once
#include "engine/tape/recorder.h"
#include "engine/tape/recurrent_passes.h"

namespace sotto {

// The use of one direction of one recurrent layer.
struct RecurrentUse {
  RecorderPointer recorder;
  RecurrentWeights weights;
  int64_t input_index, hidden_index, input_bias_index, hidden_bias_index;  // -1: not owned
  BatchLayout layout;                                                      // of the sequences: theirs is dimension 0
  RecurrentTensors tensors;                                                // gone after the backward pass

  // [batch · rows a sample, columns] of [sequences, …, columns], a sample's rows together.
  at::Tensor rows(const at::Tensor& x) const {
    return recorder->by_sample(x, layout).reshape({-1, x.size(-1)}).contiguous();
  }
};

// Runs it on x [N, T, d] from the states [N, h]; first_cell is undefined but for the LSTM. Returns hidden [N, T, h],
// the last step's [N, h], and the LSTM's last cell [N, h]. Its backward pass hands the weights' per-sample gradients to
// the recorder.
std::vector<at::Tensor> run_recurrent_layer(const at::Tensor& x, const at::Tensor& first_hidden,
                                            const at::Tensor& first_cell, std::shared_ptr<RecurrentUse> use);

}  // namespace sotto

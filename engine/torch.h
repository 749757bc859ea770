#pragma once
// The LibTorch headers that the engine needs, in one place so that they can be precompiled. torch/torch.h would bring
// the data loaders and the whole C++ frontend.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/library.h>
#include <torch/nn/module.h>
#include <torch/script.h>

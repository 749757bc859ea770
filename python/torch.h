#pragma once
// The LibTorch headers that the operators need: the library is loaded into a Python that brings its own LibTorch.
#include <ATen/ATen.h>
#include <torch/library.h>

#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/convolution/convolution_impl.h"

namespace sotto::kernels {

// How the CPU walks through a convolution. A vector holds `lanes` of one kind: the output channels of a group, with one
// element of x broadcast against them, or, for groups of few channels (depthwise), the groups themselves. x is packed
// with its padding and with the channels last, so that what the taps of a row meet lies side by side.
struct Panels {
  bool by_group;               // lanes are groups
  int64_t lanes, padded;       // padded to whole vectors
  int64_t channels;            // floats a place of the packed x
  int64_t reach[3];            // places of the packed x
  int64_t rows;                // products a lane: (c, k), or k alone where lanes are groups
  int64_t run;                 // of them in a row of x
  int64_t tap_stride;          // floats from one to the next
  int64_t step;                // floats from a position to the next
  std::vector<int64_t> runs;   // where each run starts, for position 0
  std::vector<int64_t> order;  // of the k-th element of the weight: its place in the runs

  // Consecutive positions of one row of the output.
  struct Segment {
    int64_t x, position, count;
  };
  std::vector<Segment> segments;
  std::vector<int64_t> blocks;  // of segments: block b is [blocks[b], blocks[b + 1])

  int64_t packed_x() const { return reach[0] * reach[1] * reach[2] * channels; }
};

inline Panels plan_panels(const ConvolutionShape& s, int64_t vector_width) {
  Panels p;
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
  p.by_group = s.groups >= vector_width / 2 && out <= vector_width / 4;
  p.lanes = p.by_group ? s.groups : out;
  p.padded = (p.lanes + vector_width - 1) / vector_width * vector_width;
  p.channels = p.by_group ? p.padded : in;
  for (int k = 0; k < 3; ++k)
    p.reach[k] = std::max<int64_t>(0, s.output[k] - 1) * s.stride[k] + (s.kernel[k] - 1) * s.dilation[k] + 1;
  p.tap_stride = p.by_group ? s.dilation[2] * p.channels : 1;
  p.step = s.stride[2] * p.channels;
  const auto place = [&](int64_t d, int64_t h, int64_t w) {
    return ((d * p.reach[1] + h) * p.reach[2] + w) * p.channels;
  };

  const bool whole_rows = p.by_group || s.dilation[2] == 1;  // else the taps of a row are apart
  const int64_t runs_a_row = whole_rows ? 1 : s.kernel[2];
  p.run = (whole_rows ? s.kernel[2] : 1) * (p.by_group ? 1 : in);
  p.rows = s.taps() * (p.by_group ? 1 : in);
  for (int64_t d = 0; d < s.kernel[0]; ++d)
    for (int64_t h = 0; h < s.kernel[1]; ++h)
      for (int64_t w = 0; w < runs_a_row; ++w)
        p.runs.push_back(place(d * s.dilation[0], h * s.dilation[1], w * s.dilation[2]));
  for (int64_t k = 0; k < p.rows; ++k) p.order.push_back(p.by_group ? k : k % s.taps() * in + k / s.taps());

  int64_t in_block = kConvolutionChain;  // the first segment opens a block
  for (int64_t d = 0; d < s.output[0]; ++d)
    for (int64_t h = 0; h < s.output[1]; ++h)
      for (int64_t w = 0; w < s.output[2]; w += kConvolutionChain) {
        const int64_t count = std::min(kConvolutionChain, s.output[2] - w);
        if (in_block >= kConvolutionChain) p.blocks.push_back(static_cast<int64_t>(p.segments.size())), in_block = 0;
        in_block += count;
        p.segments.push_back(
            {place(d * s.stride[0], h * s.stride[1], w * s.stride[2]), (d * s.output[1] + h) * s.output[2] + w, count});
      }
  p.blocks.push_back(static_cast<int64_t>(p.segments.size()));
  return p;
}

}  // namespace sotto::kernels

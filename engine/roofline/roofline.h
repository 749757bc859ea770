#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/roofline/case.h"

namespace sotto {

// What this machine can do, measured in the same run: bytes read and written a second by a large copy, and float32
// operations a second by the product of two large squares, each the best of its rounds.
struct Roofs {
  double copy_bytes_per_second = 0, matmul_flops_per_second = 0;
  int64_t copy_bytes = 0, matmul_size = 0;  // read and written by one copy; rows of the square
};

// A kernel at one shape, under the roofs. Times are medians over the rounds.
struct RooflineRow {
  std::string kernel, folder;
  std::vector<std::pair<std::string, int64_t>> shape;
  std::string composite;
  double time_ms = 0, composite_ms = 0, speedup = 0;  // speedup: composite ÷ sotto
  double bytes = 0, flops = 0;                        // of RooflineCase
  double gigabytes_per_second = 0, gigaflops = 0;
  double percent_of_copy = 0, percent_of_matmul = 0;  // above 100 where the operands stay in the caches
  double floor_ms = 0, percent_of_floor = 0;          // floor: the longer of bytes ÷ copy and flops ÷ matmul
  std::string bound;                                  // which of the two it is: "memory" or "compute"
  double disagreement = 0;                            // with the composite, before timing
};

struct Roofline {
  Roofs roofs;
  std::vector<RooflineRow> rows;
};

struct RooflineOptions {
  bool on_cuda = false;
  int threads = 1;
  int64_t rounds = 15;
  std::string filter = {};  // a regular expression searched for in a case's name; empty: all
};

// "accumulate_row_norms B=64 P=1000".
std::string name_of(const RooflineCase& one);

// The cases that the options name. Throws configuration for no regular expression, and where nothing matches, with the
// kernels that there are.
std::vector<RooflineCase> chosen_cases(const RooflineOptions& options);

// max |a − b| ÷ max |b| over all entries of all tensors; infinity where a shape or a NaN differs.
double disagreement(const Tensors& a, const Tensors& b);

// Holds the case's two results against each other, then times them in alternation: a round calls each as often as it
// takes to last 2 ms. Throws internal, with the case's name, where they disagree by more than its tolerance.
RooflineRow hold(const RooflineCase& one, const Site& site, const Roofs& roofs, int64_t rounds);

Roofs measure_roofs(const Site& site, int64_t rounds);

// Fills what follows from times, bytes and flops.
void place_under(const Roofs& roofs, RooflineRow& row);

// `progress` hears what comes next: `done` of `total` and its name. Throws cuda where on_cuda has no device.
using RooflineProgress = std::function<void(int64_t done, int64_t total, const std::string& next)>;
Roofline measure_roofline(const RooflineOptions& options, const RooflineProgress& progress);

}  // namespace sotto

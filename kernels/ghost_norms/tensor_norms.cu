#include "cuda/launch.cuh"
#include "kernels/ghost_norms/double_norms.cuh"
#include "kernels/ghost_norms/tensor_norms_impl.h"
#include "kernels/tensor_tile.cuh"

namespace sotto::kernels {
namespace {

// The same parts of both operands in the three thirds of `to`.
__global__ void split_kernel(const float* x, int64_t count, Bfloat16* to) {
  const int64_t k = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k >= count) return;
  Bfloat16 parts[3];
  split(x[k], parts);
  for (int part = 0; part < 3; ++part) to[part * count + k] = parts[part];
}

__device__ double warp_sum(double x) {
  for (int apart = 16; apart > 0; apart /= 2) x += __shfl_xor_sync(~0u, x, apart);
  return x;
}

// One warp a row: neighbours read neighbouring elements.
template <class T>
__global__ void store_row_norms_kernel(MatrixView<const T> x, double extra, double* norms) {
  const int64_t row = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  if (row >= x.rows) return;
  double squares = 0;
  for (int64_t k = threadIdx.x % 32; k < x.cols; k += 32) {
    const double value = to_float(x.data[row * x.cols + k]);
    squares += value * value;
  }
  squares = warp_sum(squares);
  if (threadIdx.x % 32 == 0) norms[row] = sqrt(raised(squares + extra, x.cols)) * (1 + 4 * kDoubleUnit);
}

struct WarpPlace {
  int row, column, lane;
};
template <int kSide>
__device__ WarpPlace place_of_warp() {
  const int warp = threadIdx.x / 32, columns = kSide / kWarpColumns;
  return {warp / columns * kWarpRows, warp % columns * kWarpColumns, int(threadIdx.x % 32)};
}

// One block a pair of tiles of one sample's Gram matrices: neither matrix is ever in memory.
template <int kSide>
__global__ void __launch_bounds__(threads_of_tile(kSide), 1)
    sum_gram_tiles_kernel(TensorInput input, TensorPlan plan, double* workspace) {
  extern __shared__ __align__(16) Bfloat16 shared[];
  const int64_t sample = blockIdx.x / plan.pairs(), first = input.segments.first(sample);
  const TilePair pair = tile_pair(blockIdx.x % plan.pairs());
  const GramStages tile{input, first, input.segments.rows(sample), pair.s * kSide, pair.t * kSide};
  if (tile.s >= tile.rows || tile.rows > plan.length) return;
  DeviceBlock<kSide> block(input.aligned);
  WarpTile<DeviceWarp> a, g;
  multiply_gram(block, tile, shared, a, g);
  const auto [row, column, lane] = place_of_warp<kSide>();
  if (!has_place(tile, row, column)) return;
  const GramPart part =
      gram_part(tile, a, g, lane, row, column, workspace + plan.a_norms() + first, workspace + plan.g_norms() + first);
  const double sum = warp_sum(part.sum), error = warp_sum(part.error);
  if (lane > 0) return;
  double* const out = workspace + plan.gram_parts(sample) + 2 * gram_place(tile.s + row, tile.t + column);
  out[0] = sum, out[1] = error;
}

__device__ SampleTotals block_totals(const double* a_norms, const double* g_norms, int64_t rows) {
  SampleTotals own{};
  for (int64_t t = threadIdx.x; t < rows; t += kBlockThreads) {
    const double a = a_norms[t], g = g_norms[t];
    own.mass += a * g + 0 * a + 0 * g;  // 0 · ∞ must not vanish behind a zero row
    own.a_square += a * a, own.g_square += g * g;
    own.a_norm += a, own.g_norm += g;
  }
  return {raised(block_sum(own.mass), rows), raised(block_sum(own.a_square), rows),
          raised(block_sum(own.g_square), rows), raised(block_sum(own.a_norm), rows),
          raised(block_sum(own.g_norm), rows)};
}

// One block a sample: adds the norm where the Gram sum is good enough, else leaves it to the gradient.
__global__ void finish_gram_kernel(TensorInput input, TensorPlan plan, double spare, double* workspace,
                                   VectorView<double> squared) {
  const int64_t sample = blockIdx.x, first = input.segments.first(sample), rows = input.segments.rows(sample);
  const SampleTotals totals =
      block_totals(workspace + plan.a_norms() + first, workspace + plan.g_norms() + first, rows);
  const bool has_tiles =
      rows <= plan.length;  // a table that says more than its length is no reason for less than the truth
  const double* parts = workspace + plan.gram_parts(sample);
  const int64_t places = has_tiles ? gram_places(rows) : 0;
  GramPart part;
  for (int64_t k = threadIdx.x; k < places; k += kBlockThreads) {
    part.sum += parts[2 * k];
    part.error += parts[2 * k + 1];
  }
  part = {block_sum(part.sum), block_sum(part.error)};
  double norm = totals.mass, verdict = kDone;  // 0, NaN or infinity as it is
  if (totals.mass > 0 && totals.mass < INFINITY) {
    const double bound = has_tiles ? gram_bound(totals, part, places, input.a.cols, input.g.cols, input.of_floats) : -1;
    if (bound >= 0)
      norm = sample_norm(spare, bound, totals.mass, 0);
    else
      verdict = kByGradient;
  }
  if (threadIdx.x > 0) return;
  workspace[plan.verdicts() + sample] = verdict;
  if (verdict == kDone) add_up(squared.data[sample], norm);
}

// Without Gram sums before it every sample goes by its gradient.
__global__ void take_all_by_gradient_kernel(TensorPlan plan, double* workspace) {
  const int64_t sample = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (sample < plan.samples) workspace[plan.verdicts() + sample] = kByGradient;
}

// One block a tile of one sample's gradient, whose sums are squared where they are.
template <int kSide>
__global__ void __launch_bounds__(threads_of_tile(kSide), 1)
    sum_gradient_tiles_kernel(TensorInput input, TensorPlan plan, double* workspace) {
  extern __shared__ __align__(16) Bfloat16 shared[];
  const int64_t sample = blockIdx.x / plan.gradient_tiles(), at = blockIdx.x % plan.gradient_tiles();
  if (workspace[plan.verdicts() + sample] == kDone) return;
  const GradientStages tile{input, input.segments.first(sample), input.segments.rows(sample),
                            at / plan.d_tiles() * kSide, at % plan.d_tiles() * kSide};
  DeviceBlock<kSide> block(input.aligned);
  WarpTile<DeviceWarp> sums;
  multiply_gradient(block, tile, shared, sums);
  const auto [row, column, lane] = place_of_warp<kSide>();
  const int64_t i = tile.i + row, j = tile.j + column;
  if (i >= plan.p || j >= plan.d) return;
  const double squares = warp_sum(squares_of(sums, lane));
  if (lane == 0) workspace[plan.squares(sample) + gradient_place(i, j, plan.d)] = squares;
}

// Σ_i (Σ_t g_ti)², raised. One thread a column.
template <class T>
__device__ double block_bias_square(const Sample<T>& x) {
  double squares = 0;
  for (int64_t i = threadIdx.x; i < x.p; i += kBlockThreads) {
    double sum = 0;
    for (int64_t t = 0; t < x.length; ++t) sum += double(to_float(x.g[t * x.p + i]));
    squares += sum * sum;
  }
  return raised(block_sum(squares), x.p);
}

// One block a sample that goes by its gradient; where that is not good enough either, in double.
template <class T>
__global__ void finish_gradient_kernel(GhostInputOf<T> input, TensorPlan plan, double* workspace,
                                       VectorView<double> squared) {
  const int64_t sample = blockIdx.x, first = input.segments.first(sample);
  if (workspace[plan.verdicts() + sample] == kDone) return;
  const Sample<T> x = sample_of(input, sample);
  const SampleTotals totals =
      block_totals(workspace + plan.a_norms() + first, workspace + plan.g_norms() + first, x.length);
  const double* parts = workspace + plan.squares(sample);
  double squares = 0;
  for (int64_t k = threadIdx.x; k < gradient_places(x.p, x.d); k += kBlockThreads) squares += parts[k];
  squares = block_sum(squares);
  double norm = totals.mass;  // 0, NaN or infinity as it is
  if (totals.mass > 0 && totals.mass < INFINITY) {
    const double bias_square = x.bias > 0 ? block_bias_square(x) : 0;
    const double bound = gradient_bound(totals, squares, bias_square, x.length, x.d, x.p, sizeof(T) == sizeof(float));
    norm = bound >= 0 ? sample_norm(x.spare, bound, totals.mass, 2 * double(x.length + 8))
                      : block_direct_norm(x, totals.mass);
  }
  if (threadIdx.x == 0) add_up(squared.data[sample], norm);
}

unsigned blocks_for(int64_t n, int64_t size) {
  return static_cast<unsigned>((n + size - 1) / size);
}

bool at_16_bytes(const void* data) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0;
}

TensorOperand parts_of(const Exec&, MatrixView<const Bfloat16> x, Bfloat16*) {
  return {x.data, x.cols, 0};
}

TensorOperand parts_of(const Exec& exec, MatrixView<const float> x, Bfloat16* parts) {
  const int64_t count = x.rows * x.cols;
  if (count > 0) launch(exec, {blocks_for(count, kBlockThreads), kBlockThreads}, split_kernel, x.data, count, parts);
  return {parts, x.cols, count};
}

template <class T>
TensorInput prepare(const Exec& exec, const GhostInputOf<T>& input, const TensorPlan& plan, double* workspace) {
  const unsigned blocks = blocks_for(input.a.rows, kBlockThreads / 32);
  const double bias = input.with_bias ? 1 : 0;
  launch(exec, {blocks, kBlockThreads}, store_row_norms_kernel<T>, input.a, bias, workspace + plan.a_norms());
  launch(exec, {blocks, kBlockThreads}, store_row_norms_kernel<T>, input.g, 0.0, workspace + plan.g_norms());
  auto* const parts = reinterpret_cast<Bfloat16*>(workspace + plan.parts());
  const TensorOperand a = parts_of(exec, input.a, parts);
  const TensorOperand g = parts_of(exec, input.g, parts + 3 * input.a.rows * input.a.cols);
  const bool aligned = a.cols % 8 == 0 && g.cols % 8 == 0 && at_16_bytes(a.data) && at_16_bytes(g.data);
  return {a, g, input.segments, bias, sizeof(T) == sizeof(float), aligned};
}

template <int kSide, bool kTransposed>
Grid grid_of(int64_t tiles) {
  return {static_cast<unsigned>(tiles), static_cast<unsigned>(threads_of_tile(kSide)),
          sizeof(Bfloat16) * kStagedElements<TileOperand<kSide, kTransposed>>};
}

template <int kSide>
void sum_gram_tiles(const Exec& exec, const TensorInput& parts, const TensorPlan& plan, double* workspace) {
  launch(exec, grid_of<kSide, false>(plan.samples * plan.pairs()), sum_gram_tiles_kernel<kSide>, parts, plan,
         workspace);
}

template <int kSide>
void sum_gradient_tiles(const Exec& exec, const TensorInput& parts, const TensorPlan& plan, double* workspace) {
  launch(exec, grid_of<kSide, true>(plan.samples * plan.gradient_tiles()), sum_gradient_tiles_kernel<kSide>, parts,
         plan, workspace);
}

template <class T>
void finish_by_gradient(const Exec& exec, const GhostInputOf<T>& input, const TensorInput& parts,
                        const TensorPlan& plan, double* workspace, VectorView<double> squared) {
  if (plan.gradient_tiles() > 0)
    (plan.direct_side == 64 ? sum_gradient_tiles<64> : sum_gradient_tiles<128>)(exec, parts, plan, workspace);
  launch(exec, {static_cast<unsigned>(plan.samples), kBlockThreads}, finish_gradient_kernel<T>, input, plan, workspace,
         squared);
}

template <class T>
void add_ghost_norms(const Exec& exec, const GhostInputOf<T>& input, double* workspace, VectorView<double> squared) {
  if (squared.size == 0 || input.a.rows == 0) return;
  const TensorPlan plan = plan_tensor_norms<T>(input.segments, input.a.rows, input.a.cols, input.g.cols);
  const TensorInput parts = prepare(exec, input, plan, workspace);
  (plan.gram_side == 64 ? sum_gram_tiles<64> : sum_gram_tiles<128>)(exec, parts, plan, workspace);
  launch(exec, {static_cast<unsigned>(plan.samples), kBlockThreads}, finish_gram_kernel, parts, plan, input.spare,
         workspace, squared);
  finish_by_gradient(exec, input, parts, plan, workspace, squared);
}

template <class T>
void add_direct_norms(const Exec& exec, const GhostInputOf<T>& input, double* workspace, VectorView<double> squared) {
  if (squared.size == 0 || input.a.rows == 0) return;
  const TensorPlan plan = plan_tensor_norms<T>(input.segments, input.a.rows, input.a.cols, input.g.cols);
  const TensorInput parts = prepare(exec, input, plan, workspace);
  launch(exec, {blocks_for(plan.samples, kBlockThreads), kBlockThreads}, take_all_by_gradient_kernel, plan, workspace);
  finish_by_gradient(exec, input, parts, plan, workspace, squared);
}

}  // namespace

void accumulate_tensor_ghost_norms(const Exec& exec, const GhostInput& input, VectorView<double> workspace,
                                   VectorView<double> squared) {
  add_ghost_norms(exec, input, workspace.data, squared);
}
void accumulate_tensor_ghost_norms(const Exec& exec, const Bfloat16GhostInput& input, VectorView<double> workspace,
                                   VectorView<double> squared) {
  add_ghost_norms(exec, input, workspace.data, squared);
}
void accumulate_tensor_direct_norms(const Exec& exec, const GhostInput& input, VectorView<double> workspace,
                                    VectorView<double> squared) {
  add_direct_norms(exec, input, workspace.data, squared);
}
void accumulate_tensor_direct_norms(const Exec& exec, const Bfloat16GhostInput& input, VectorView<double> workspace,
                                    VectorView<double> squared) {
  add_direct_norms(exec, input, workspace.data, squared);
}

}  // namespace sotto::kernels

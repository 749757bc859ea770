#include "cuda/launch.cuh"
#include "kernels/sample_gradients/gradient_tile.h"
#include "kernels/sample_gradients/sample_gradients_impl.h"

namespace sotto::kernels {
namespace {

// One block a tile. Each entry is summed by one thread in the order of the sample's rows, so the result depends on
// nothing else.
template <int kEntries, class Row>
__global__ void __launch_bounds__(256)
    make_sample_gradients_kernel(MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                                 MatrixView<Row> rows) {
  using Tile = GradientTile<kEntries>;
  __shared__ typename Tile::Fetched fetched;
  const Tile tile = Tile::of_block(a, g, length, blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  typename Tile::Sums sums;
  for (int64_t t = 0; t < length; t += Tile::kDepth) {
    tile.fetch(thread, t, fetched);
    __syncthreads();
    tile.multiply(thread, t, fetched, sums);
    __syncthreads();
  }
  tile.write(thread, sums, rows);
}

template <int kEntries, class Row>
void launch_tiles(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                  MatrixView<Row> rows) {
  using Tile = GradientTile<kEntries>;
  const int64_t blocks = Tile::blocks(rows.rows, g.cols, a.cols);
  if (blocks == 0) return;
  launch(exec, {static_cast<unsigned>(blocks), Tile::kThreads}, make_sample_gradients_kernel<kEntries, Row>, a, g,
         length, rows);
}

// Large tiles read less; small gradients would leave most of one empty.
template <class Row>
void make_gradients(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                    MatrixView<Row> rows) {
  constexpr int64_t kLarge = GradientTile<8>::kSide;
  if (a.cols >= kLarge && g.cols >= kLarge) return launch_tiles<8>(exec, a, g, length, rows);
  launch_tiles<4>(exec, a, g, length, rows);
}

}  // namespace

void sample_gradients_cuda(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                           MatrixView<float> rows) {
  make_gradients(exec, a, g, length, rows);
}

void sample_gradients_cuda(const Exec& exec, MatrixView<const float> a, MatrixView<const float> g, int64_t length,
                           MatrixView<Bfloat16> rows) {
  make_gradients(exec, a, g, length, rows);
}

}  // namespace sotto::kernels

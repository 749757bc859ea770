#pragma once
#include "kernels/tensor_tile.h"

namespace sotto::kernels {

// The warp of this thread: a Word and a Float are its registers. PTX of sm_80 and later.
class DeviceWarp {
 public:
  using Word = uint32_t;
  using Float = float;

  template <bool kTransposed, class Offset>
  __device__ __forceinline__ void load(Word (&to)[4], const Bfloat16* panel, Offset offset) const {
    const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(panel + offset(int(threadIdx.x % 32))));
    if constexpr (kTransposed) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                   : "r"(from)
                   : "memory");
    } else {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                   : "r"(from)
                   : "memory");
    }
  }

  __device__ __forceinline__ void multiply(Float (&sum)[4], const Word (&a)[4], Word low, Word high) const {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(low), "r"(high));
  }

  __device__ __forceinline__ static void add(Float& to, Float x) { to += x; }
  __device__ __forceinline__ static float at(Float x, int) { return x; }
};

// The block of this thread, of a tile of kTileSide. Copies run beside the arithmetic where 16 bytes are aligned.
template <int kTileSide>
class DeviceBlock {
 public:
  static constexpr int kSide = kTileSide, kThreads = threads_of_tile(kTileSide);
  using Tiles = WarpTile<DeviceWarp>;

  explicit __device__ DeviceBlock(bool aligned) : aligned_(aligned) {}

  template <class Do>
  __device__ __forceinline__ void each_thread(Do act) const {
    act(int(threadIdx.x));
  }
  template <class Do>
  __device__ __forceinline__ void each_warp(Do act) const {
    act(DeviceWarp{}, int(threadIdx.x / 32));
  }
  __device__ __forceinline__ static Tiles& tile(Tiles& tiles, int) { return tiles; }

  __device__ __forceinline__ void copy(const Bfloat16* data, Bfloat16* panel, const Piece& piece) const {
    if (aligned_) {
      const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(panel + piece.to));
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(data + piece.from),
                   "r"(2 * piece.present)
                   : "memory");
      return;
    }
    for (int k = 0; k < 8; ++k) panel[piece.to + k] = k < piece.present ? data[piece.from + k] : Bfloat16{0};
  }
  __device__ __forceinline__ void close_copies() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
  __device__ __forceinline__ void wait_for_oldest() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(kStagesInFlight - 2) : "memory");
    __syncthreads();
  }

 private:
  bool aligned_;
};

}  // namespace sotto::kernels

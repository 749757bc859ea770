#include "kernels/lattice/discrete_gaussian.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/lattice/discrete_gaussian_impl.h"
#include "kernels/lattice/draw.h"
#include "kernels/noise/gaussian_batch.h"

namespace sotto::kernels {
namespace {

constexpr int64_t kDrawsAtOnce = 1024;

// values[0 … count) = the draws from number `first` on. Each round draws again for those that were rejected so far;
// their list is compacted without a branch on the outcome.
template <int lanes>
SOTTO_FORMULA void draw_by(const StreamKey& stream, int log2_scale, uint32_t first, int64_t count, int64_t* values) {
  using Word = typename Lanes<lanes>::Word;
  uint32_t pending[kDrawsAtOnce];
  for (int64_t i = 0; i < count; ++i) pending[i] = static_cast<uint32_t>(i);
  for (int64_t i = 0; i < count; ++i) values[i] = 0;
  int64_t left = count;
  for (int attempt = 0; attempt < kDiscreteGaussianAttempts && left > 0; ++attempt) {
    const StreamKey blocks = attempt_stream(stream, attempt);
    int64_t rejected = 0;
    for (int64_t begin = 0; begin < left; begin += lanes) {
      Word counters, words[16];
      for (int i = 0; i < lanes; ++i) counters[i] = first + pending[std::min(begin + i, left - 1)];
      chacha20_block(blocks, counters, words);
      uint32_t flat[16 * lanes];
      __builtin_memcpy(flat, words, sizeof flat);
      for (int i = 0; i < lanes && begin + i < left; ++i) {
        const Attempt drawn = attempt_discrete_gaussian<lanes>(flat + i, log2_scale);
        const uint32_t index = pending[begin + i];
        values[index] = drawn.value;
        pending[rejected] = index;
        rejected += 1 - drawn.accepted;
      }
    }
    left = rejected;
  }
}

SOTTO_FOR_AVX512 void draw_avx512(const StreamKey& stream, int log2_scale, uint32_t first, int64_t count,
                                  int64_t* values) {
  draw_by<16>(stream, log2_scale, first, count, values);
}

SOTTO_FOR_AVX2 void draw_avx2(const StreamKey& stream, int log2_scale, uint32_t first, int64_t count, int64_t* values) {
  draw_by<8>(stream, log2_scale, first, count, values);
}

void draw_plain(const StreamKey& stream, int log2_scale, uint32_t first, int64_t count, int64_t* values) {
  draw_by<4>(stream, log2_scale, first, count, values);
}

}  // namespace

void draw_discrete_gaussian(InstructionSet set, const StreamKey& stream, int log2_scale, uint32_t first, int64_t count,
                            int64_t* values) {
  for_set(set, draw_avx512, draw_avx2, draw_plain)(stream, log2_scale, first, count, values);
}

void add_discrete_gaussian(const Exec& exec, const StreamKey& stream, int log2_scale, VectorView<int64_t> out,
                           int64_t first) {
  require((stream.nonce[0] & 0xff) == static_cast<uint32_t>(Purpose::lattice_noise),
          "discrete Gaussian noise is drawn from a stream of Purpose::lattice_noise");
  require(stream.generator == Generator::chacha20,
          "discrete Gaussian noise is drawn from ChaCha20: on a lattice no generator that can be predicted is taken");
  require(log2_scale >= 0 && log2_scale <= kLargestLog2Scale, "log2_scale must be between 0 and ", kLargestLog2Scale,
          ", got ", log2_scale);
  constexpr int64_t stream_length = int64_t{1} << 32;
  require(first >= 0 && first <= stream_length && out.size <= stream_length - first, "a stream has 2^32 draws, got ",
          out.size, " elements from position ", first, "; give the rest its own tensor");
  if (exec.on_cuda()) return add_discrete_gaussian_cuda(exec, stream, log2_scale, static_cast<uint32_t>(first), out);
  const InstructionSet set = best_instruction_set();
  parallel_for(exec.threads(), (out.size + kDrawsAtOnce - 1) / kDrawsAtOnce, 1, [&](int64_t begin, int64_t end) {
    int64_t values[kDrawsAtOnce];
    for (int64_t start = begin * kDrawsAtOnce; start < end * kDrawsAtOnce && start < out.size; start += kDrawsAtOnce) {
      const int64_t count = std::min(kDrawsAtOnce, out.size - start);
      draw_discrete_gaussian(set, stream, log2_scale, static_cast<uint32_t>(first + start), count, values);
      for (int64_t i = 0; i < count; ++i) out.data[start + i] += values[i];
    }
  });
}

double discrete_gaussian_delta(int64_t elements, int64_t steps, double epsilon) {
  require(elements >= 0 && steps >= 0 && epsilon >= 0, "got ", elements, " elements, ", steps, " steps and epsilon ",
          epsilon);
  const double draws = static_cast<double>(elements) * static_cast<double>(steps);
  return std::min(1.0, draws * kDiscreteGaussianDistance * (1 + std::exp(epsilon)) * (1 + 0x1p-40));
}

}  // namespace sotto::kernels

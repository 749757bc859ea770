#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "kernels/update/update_impl.h"
#include "tests/kernels/noise_oracle.h"

namespace sotto::kernels {
namespace {

constexpr float kGuard = -77.0f;
constexpr int64_t kBand = 32;

// `size` floats between guard bands.
struct Guarded {
  explicit Guarded(int64_t count, float value) : size(count), all(static_cast<size_t>(count + 2 * kBand), kGuard) {
    std::fill_n(all.begin() + kBand, count, value);
  }
  VectorView<float> view(int64_t begin, int64_t count) { return {all.data() + kBand + begin, count}; }
  bool guards_stand() const {
    for (int64_t i = 0; i < kBand; ++i)
      if (all[i] != kGuard || all[kBand + size + i] != kGuard) return false;
    return true;
  }
  bool operator==(const Guarded& other) const { return std::memcmp(all.data(), other.all.data(), all.size() * 4) == 0; }
  int64_t size;
  std::vector<float> all;
};

struct Tensors {
  explicit Tensors(int64_t size) : sum(size, 0.3f), first(size, 0.1f), second(size, 0.2f), parameter(size, 1.0f) {}
  Guarded sum, first, second, parameter;
  bool operator==(const Tensors&) const = default;
  bool guards_stand() const {
    return sum.guards_stand() && first.guards_stand() && second.guards_stand() && parameter.guards_stand();
  }
};

VectorView<const float> read_only(VectorView<float> view) {
  return {view.data, view.size};
}

const StreamKey kStream = noise_stream(51), kPhiloxStream = noise_stream(51, 0, 0, Generator::philox);

// Both rules on [begin, begin + count) of the tensors.
void update(const Exec& exec, Tensors& sgd, Tensors& adam, int64_t begin, int64_t count,
            const StreamKey& stream = kStream) {
  noisy_sgd(exec, stream, 1.5, 7.0, {0.1, 0.9, 0.01}, read_only(sgd.sum.view(begin, count)),
            sgd.first.view(begin, count), sgd.parameter.view(begin, count), begin);
  noisy_adam(exec, stream, 1.5, 7.0, {0.1, 0.9, 0.999, 1e-8, 0.01}, read_only(adam.sum.view(begin, count)),
             adam.first.view(begin, count), adam.second.view(begin, count), adam.parameter.view(begin, count), begin);
}

TEST(UpdateContract, ThreadsAndCutsNeverShowAndNothingElseIsWritten) {
  for (const int64_t size : {0, 1, 7, 8, 9, 1025, 33'333}) {
    Tensors sgd(size), adam(size);
    update(Exec::cpu(1), sgd, adam, 0, size);
    EXPECT_TRUE(sgd.guards_stand() && adam.guards_stand()) << size;
    for (const int threads : {2, 3, 8}) {
      Tensors sgd_by_threads(size), adam_by_threads(size);
      update(Exec::cpu(threads), sgd_by_threads, adam_by_threads, 0, size);
      EXPECT_TRUE(sgd_by_threads == sgd && adam_by_threads == adam) << threads << " threads, " << size;
    }
    for (const int64_t shard : {8, 24, 1000, 8192}) {
      Tensors sgd_by_shards(size), adam_by_shards(size);
      for (int64_t begin = 0; begin < size; begin += shard)
        update(Exec::cpu(2), sgd_by_shards, adam_by_shards, begin, std::min(shard, size - begin));
      EXPECT_TRUE(sgd_by_shards == sgd && adam_by_shards == adam) << "shards of " << shard << ", " << size;
    }
  }
}

// The promise that AVX-512 and plain x86-64 agree: this file is compiled for the latter.
template <Generator generator>
void expect_formula(const StreamKey& stream) {
  constexpr int64_t kSize = 4099;
  Tensors sgd(kSize), want(kSize), adam(kSize);
  update(Exec::cpu(1), sgd, adam, 0, kSize, stream);
  const NoisePlan noise = plan_noise(stream, 1.5, 0, kSize);
  const SgdFactors factors{static_cast<float>(1 / 7.0), 0.1f, 0.9f, 0.01f};
  for (int64_t i = 0; i < kSize; ++i) {
    float normals[kNormalsPerBlock];
    gaussian_blocks<generator, OneLane>(noise.stream, static_cast<uint32_t>(i / kNormalsPerBlock), normals);
    sgd_step<true>(factors, want.sum.view(i, 1).data[0] + noise.stddev * normals[i % kNormalsPerBlock],
                   want.first.view(i, 1).data[0], want.parameter.view(i, 1).data[0]);
  }
  EXPECT_TRUE(want == sgd) << name_of(generator);
}

TEST(UpdateContract, IsTheSameBitsAsTheFormulaElementByElement) {
  expect_formula<Generator::chacha20>(kStream);
  expect_formula<Generator::philox>(kPhiloxStream);
}

TEST(UpdateContract, WithoutMomentumItsBufferMayBeMissingAndIsNotTouched) {
  Tensors with(100), without(100);
  noisy_sgd(Exec::cpu(1), kStream, 1.0, 1.0, {0.1}, read_only(with.sum.view(0, 100)), with.first.view(0, 100),
            with.parameter.view(0, 100));
  noisy_sgd(Exec::cpu(1), kStream, 1.0, 1.0, {0.1}, read_only(without.sum.view(0, 100)), {nullptr, 0},
            without.parameter.view(0, 100));
  EXPECT_TRUE(with == without);
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    return error.what();
  }
  return "accepted";
}

struct Refused {
  double stddev = 1, divisor = 1;
  SgdSettings sgd{0.1};
  AdamSettings adam{0.1};
  int64_t sum = 8, state = 8, first = 0;
  std::string message;
};

TEST(UpdateContract, NamesWhatIsWrong) {
  float x[64] = {};
  const Refused both[] = {
      {.stddev = 0, .message = "standard deviation must be positive and finite in float32, got 0"},
      {.stddev = -2, .message = "got -2"},
      {.stddev = NAN, .message = "got nan"},
      {.stddev = INFINITY, .message = "got inf"},
      {.divisor = 0, .message = "divisor must be positive and its inverse a finite float32, got 0"},
      {.divisor = -4, .message = "got -4"},
      {.divisor = NAN, .message = "got nan"},
      {.divisor = INFINITY, .message = "got inf"},
      {.sgd = {-0.1}, .adam = {-0.1}, .message = "learning_rate must be finite and not negative, got -0.1"},
      {.sgd = {NAN}, .adam = {NAN}, .message = "got nan"},
      {.sgd = {0.1, 0, -1},
       .adam = {.learning_rate = 0.1, .weight_decay = -1},
       .message = "weight_decay must be finite and not negative, got -1"},
      {.sum = 7, .message = "a sum of 7 entries for a parameter of 8"},
      {.first = 3, .message = "got position 3"},
  };
  const auto sgd = [&](const Refused& r) {
    return refusal([&] {
      noisy_sgd(Exec::cpu(1), kStream, r.stddev, r.divisor, r.sgd, {x, r.sum}, {x + 16, r.state}, {x + 32, 8}, r.first);
    });
  };
  const auto adam = [&](const Refused& r) {
    return refusal([&] {
      noisy_adam(Exec::cpu(1), kStream, r.stddev, r.divisor, r.adam, {x, r.sum}, {x + 16, r.state}, {x + 32, 8},
                 {x + 48, 8}, r.first);
    });
  };
  for (const Refused& row : both) {
    EXPECT_NE(sgd(row).find(row.message), std::string::npos) << row.message << " in: " << sgd(row);
    EXPECT_NE(adam(row).find(row.message), std::string::npos) << row.message << " in: " << adam(row);
  }
  for (const Refused& row :
       {Refused{.sgd = {0.1, 1.0}, .message = "momentum must be in [0, 1), got 1"},
        Refused{.sgd = {0.1, 0.9}, .state = 0, .message = "momentum has 0 entries for a parameter of 8"}})
    EXPECT_NE(sgd(row).find(row.message), std::string::npos) << sgd(row);
  for (const Refused& row :
       {Refused{.adam = {0.1, 1.0}, .message = "beta1 must be in [0, 1), got 1"},
        Refused{.adam = {0.1, 0.9, -0.5}, .message = "beta2 must be in [0, 1), got -0.5"},
        Refused{.adam = {0.1, 0.9, 0.9, NAN}, .message = "epsilon must be finite and not negative, got nan"},
        Refused{.adam = {.learning_rate = 0.1, .step = 0}, .message = "counts its steps from 1, got step 0"},
        Refused{.state = 5, .message = "moments have 5 and 8 entries for a parameter of 8"}})
    EXPECT_NE(adam(row).find(row.message), std::string::npos) << adam(row);
}

}  // namespace
}  // namespace sotto::kernels

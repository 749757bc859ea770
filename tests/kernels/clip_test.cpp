#include "kernels/clip/clip.h"

#include <limits>

#include "base/error.h"
#include "kernels/rounding.h"
#include "tests/kernels/cases/backend.h"
#include "tests/kernels/cases/samples.h"

namespace sotto::kernels {
namespace {

class ClipTest : public BackendTest {
 protected:
  std::vector<float> run(const std::vector<double>& squared, double clip_norm, const ClipFunction& function = {},
                         int threads = 1) {
    Guarded<double> in(squared, on_cuda());
    Guarded<float> out(std::vector<float>(squared.size(), -7.0f), on_cuda());
    clip_factors(exec(threads), {in.data(), static_cast<int64_t>(squared.size())}, function, clip_norm, out.view());
    return out.read();
  }
};

TEST_P(ClipTest, FactorIsTheLargestFloatThatKeepsTheNorm) {
  std::mt19937_64 rng(1);
  std::uniform_real_distribution<double> exponent(-60, 80);
  std::vector<double> squared(5000);
  for (double& value : squared) value = std::exp2(exponent(rng));
  for (double clip_norm : {1.0, 0.1, 3.7e-9, 4e17}) {
    const auto factors = run(squared, clip_norm);
    const long double limit = clip_norm * (1 - 4.0L * kFloatUnit);
    for (size_t i = 0; i < squared.size(); ++i) {
      const long double norm = std::sqrt(static_cast<long double>(squared[i]));
      ASSERT_LE(factors[i], 1.0f);
      ASSERT_LE(factors[i] * norm, limit) << squared[i] << " at " << clip_norm;
      // The next float is too large, up to the few ulp of double by which the quotient is lowered.
      if (factors[i] == 1) continue;
      ASSERT_GT(std::nextafter(factors[i], 2.0f) * norm, limit * (1 - 1e-14L)) << squared[i];
    }
  }
}

TEST_P(ClipTest, EveryRuleIsItsFormulaRoundedDown) {
  std::mt19937_64 rng(2);
  std::uniform_real_distribution<double> exponent(-40, 40);
  std::vector<double> squared = {0, 1, 4};
  for (int i = 0; i < 2000; ++i) squared.push_back(std::exp2(exponent(rng)));
  for (const double clip_norm : {1.0, 0.03, 2e5}) {
    const auto check = [&](const ClipFunction& function, auto weight) {
      const auto factors = run(squared, clip_norm, function);
      for (size_t i = 0; i < squared.size(); ++i) {
        const long double norm = std::sqrt(static_cast<long double>(squared[i])), truth = weight(norm);
        ASSERT_LE(factors[i], 1.0f);
        ASSERT_LE(factors[i] * norm, clip_norm * (1 - 4.0L * kFloatUnit)) << norm;
        ASSERT_LE(factors[i], truth) << norm;
        ASSERT_GE(factors[i], truth * (1 - 6 * kFloatUnit)) << norm;  // four for the norm's room, one for rounding down
      }
    };
    check({ClipRule::automatic}, [&](long double n) { return clip_norm / (n + clip_norm); });
    for (const double r : {1.0, 0.1, 1e-3})
      check({ClipRule::psac, r}, [&](long double n) {
        const long double kappa = 2 * std::sqrt(static_cast<long double>(r)) - r, v = kappa * n / clip_norm;
        return kappa / (v + r / (v + r));
      });
  }
  for (const ClipRule rule : {ClipRule::automatic, ClipRule::psac})
    for (const double bad : {double(NAN), double(INFINITY), -1.0}) EXPECT_EQ(run({bad}, 1, {rule})[0], 0);
}

TEST_P(ClipTest, NormsAtTheEdges) {
  const double inf = INFINITY;
  const auto got = run({0, NAN, inf, -inf, -1, 1, 4, 1e300, 5e-324, -0.0}, 1.0);
  EXPECT_EQ(got[0], 1.0f) << "norm 0";
  for (int i : {1, 2, 3, 4}) EXPECT_EQ(got[i], 0.0f) << "not a finite norm";
  EXPECT_LT(got[5], 1.0f) << "a norm of exactly clip_norm leaves no room for rounding";
  EXPECT_NEAR(got[6], 0.5, 1e-6);
  EXPECT_GE(got[7], 0.0f);
  EXPECT_EQ(got[8], 1.0f);
  EXPECT_EQ(got[9], 1.0f);
  EXPECT_TRUE(run({}, 1.0).empty());
}

TEST_P(ClipTest, FactorOfASampleAsksForNoOther) {
  std::vector<double> squared = {0, NAN, 4,         INFINITY, -1,  0.3, 1e300, 7,  5e-324,
                                 2, 30,  -INFINITY, 1e-9,     1.5, 81,  6,     NAN};
  while (squared.size() < 70001) squared.push_back(squared[squared.size() - 17] * 1.25);
  for (const ClipRule rule : {ClipRule::flat, ClipRule::automatic, ClipRule::psac}) {
    const auto together = run(squared, 1, {rule}, 2);
    EXPECT_EQ(run(squared, 1, {rule}, 1), together);
    for (size_t i = 0; i < 100; ++i) EXPECT_EQ(run({squared[i]}, 1, {rule})[0], together[i]) << squared[i];
  }
}

TEST_P(ClipTest, ClippedVectorIsNeverLongerThanClipNorm) {
  std::mt19937_64 rng(3);
  for (int round = 0; round < 3000; ++round) {
    const auto g = adversarial_values(1, 1 + int64_t(rng() % 50), rng);
    const double clip_norm = std::ldexp(1 + 1e-3 * double(rng() % 1000), int(rng() % 100) - 50);
    const double squared = static_cast<double>(square_of(g) * (1 + 1e-15L));
    const float factor = run({squared}, clip_norm)[0];
    std::vector<float> clipped;
    for (const float value : g) clipped.push_back(factor * value);
    ASSERT_LE(std::sqrt(square_of(clipped)), static_cast<long double>(clip_norm)) << "round " << round;
  }
}

SOTTO_ON_EACH_BACKEND(ClipTest);

TEST(Clip, CountsWhatWasClippedAndWhatWasDropped) {
  const std::vector<float> factors = {1, 0.5f, 0, 0.999f, 1, 0};
  const ClipCount count = count_clipped({factors.data(), 6});
  EXPECT_EQ(count.clipped, 2);
  EXPECT_EQ(count.non_finite, 2);
}

TEST(Clip, RefusesAClipNormThatIsNotPositiveAndFinite) {
  double squared = 1;
  float factor = 0;
  for (double clip_norm : {0.0, -1.5, double(NAN), double(INFINITY), 1e-300, 1e300}) try {
      clip_factors(Exec::cpu(1), {&squared, 1}, {}, clip_norm, {&factor, 1});
      ADD_FAILURE() << clip_norm << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
      EXPECT_NE(std::string(error.what()).find(cat("got ", clip_norm)), std::string::npos) << error.what();
    }
  EXPECT_THROW(clip_factors(Exec::cpu(1), {&squared, 1}, {}, 1, {&factor, 0}), Error);
  for (const double stability : {0.0, -1.0, 1.5, double(NAN)})
    EXPECT_THROW(clip_factors(Exec::cpu(1), {&squared, 1}, {ClipRule::psac, stability}, 1, {&factor, 1}), Error);
}

}  // namespace
}  // namespace sotto::kernels

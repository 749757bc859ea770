#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "accountants/accountant.h"
#include "accountants/pld/event_law.h"
#include "accountants/pld/pld_accountant.h"
#include "accountants/pld/shifted_noise_law.h"
#include "accountants/pld/skellam_masses.h"
#include "accountants/pld/two_sided_law.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr auto kAddRemove = NeighbouringRelation::add_remove;
constexpr auto kReplaceOne = NeighbouringRelation::replace_one;
constexpr auto kZeroOut = NeighbouringRelation::zero_out;

PldAccountant composed(const Event& event, int64_t count, NeighbouringRelation relation = kAddRemove,
                       double gap = 1e-3) {
  PldAccountant accountant(relation, {.relative_gap = gap});
  accountant.compose(event, count);
  return accountant;
}

struct OneUse {
  Event event;
  NeighbouringRelation relation;
  double epsilon, delta;
};

// δ(ε) by mpmath 1.3 with 30 digits: the larger of ∫ max(0, p − e^ε q) and ∫ max(0, q − e^ε p), densities written from
// the events' definitions, the sign change found by bisection and each smooth piece integrated by mp.quad; sums over
// integers |k| ≤ 150 with mp.besseli for Skellam noise; exact areas for the staircase. A batch of 5 of 20 is (3/4) N +
// (1/4) N', N and N' twice the sensitivity apart, against N.
const std::vector<OneUse> kOneUse = {
    {{TruncatedLaplace{1, 12}}, kAddRemove, 0.05, 0.37811742427898105},
    {{TruncatedLaplace{1, 12}}, kAddRemove, 0.4, 0.25918488274293194},
    {{TruncatedLaplace{1, 12}}, kAddRemove, 1.5, 5.2787766523834428e-6},
    {{TruncatedLaplace{1, 12}}, kReplaceOne, 0.05, 0.62281163063400969},
    {{TruncatedLaplace{1, 12}}, kReplaceOne, 0.4, 0.55067593029032344},
    {{TruncatedLaplace{1, 12}}, kReplaceOne, 1.5, 0.22121127221612479},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{1, 12}}}}, kAddRemove, 0.05, 0.064031826209923762},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{1, 12}}}}, kAddRemove, 0.4, 1.0557553304766886e-6},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{1, 12}}}}, kAddRemove, 1.5, 1.0557553304766886e-6},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{1, 12}}}}, kReplaceOne, 0.05, 0.10667977553413192},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{1, 12}}}}, kReplaceOne, 0.4, 0.0075827125371912117},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{1, 12}}}}, kReplaceOne, 1.5, 1.0557553304766886e-6},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{1, 12}}}}, kAddRemove, 0.05, 0.14903993076869985},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{1, 12}}}}, kReplaceOne, 0.05, 0.14903993076869985},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{1, 12}}}}, kAddRemove, 0.4, 0.091576179594558523},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{1, 12}}}}, kReplaceOne, 0.4, 0.091576179594558523},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{1, 12}}}}, kAddRemove, 1.5, 4.9069948257628064e-6},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{1, 12}}}}, kReplaceOne, 1.5, 4.9069948257628064e-6},
    {{TruncatedLaplace{0.5, 3}}, kAddRemove, 0.05, 0.62441897048996793},
    {{TruncatedLaplace{0.5, 3}}, kAddRemove, 0.4, 0.55265047522107664},
    {{TruncatedLaplace{0.5, 3}}, kAddRemove, 1.5, 0.22607472231942161},
    {{TruncatedLaplace{0.5, 3}}, kReplaceOne, 0.05, 0.86344249188409975},
    {{TruncatedLaplace{0.5, 3}}, kReplaceOne, 0.4, 0.8373863407631992},
    {{TruncatedLaplace{0.5, 3}}, kReplaceOne, 1.5, 0.71959402056539043},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{0.5, 3}}}}, kAddRemove, 0.05, 0.11788655541869269},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{0.5, 3}}}}, kAddRemove, 0.4, 0.063926286071060508},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{0.5, 3}}}}, kAddRemove, 1.5, 0.0015876239976466767},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{0.5, 3}}}}, kReplaceOne, 0.05, 0.15708941751413711},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{0.5, 3}}}}, kReplaceOne, 0.4, 0.092474824252502803},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{0.5, 3}}}}, kReplaceOne, 1.5, 0.0015876239976466767},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{0.5, 3}}}}, kAddRemove, 0.05, 0.21345110789561658},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{0.5, 3}}}}, kReplaceOne, 0.05, 0.21345110789561658},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{0.5, 3}}}}, kAddRemove, 0.4, 0.19280584432195127},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{0.5, 3}}}}, kReplaceOne, 0.4, 0.19280584432195127},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{0.5, 3}}}}, kAddRemove, 1.5, 0.12390474154379753},
    {{FixedSizeSampled{5, 20, false, Event{TruncatedLaplace{0.5, 3}}}}, kReplaceOne, 1.5, 0.12390474154379753},
    {{TruncatedLaplace{2, 0.8}}, kAddRemove, 0.05, 0.66327297262908074},
    {{TruncatedLaplace{2, 0.8}}, kAddRemove, 0.4, 0.64432570257870113},
    {{TruncatedLaplace{2, 0.8}}, kAddRemove, 1.5, 0.64432570257870113},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{2, 0.8}}}}, kAddRemove, 0.05, 0.12920628903031503},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{2, 0.8}}}}, kAddRemove, 0.4, 0.12886514051574023},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{2, 0.8}}}}, kAddRemove, 1.5, 0.12886514051574023},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{2, 0.8}}}}, kReplaceOne, 0.05, 0.18541135105475037},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{2, 0.8}}}}, kReplaceOne, 0.4, 0.12886514051574023},
    {{PoissonSampled{0.2, Event{TruncatedLaplace{2, 0.8}}}}, kReplaceOne, 1.5, 0.12886514051574023},
    {{Staircase{1, 0.3}}, kAddRemove, 0.05, 0.41092798704869709},
    {{Staircase{1, 0.3}}, kAddRemove, 0.4, 0.30232892342493275},
    {{Staircase{1, 0.3}}, kReplaceOne, 0.05, 0.6258976044931742},
    {{Staircase{1, 0.3}}, kReplaceOne, 0.4, 0.57242605547741331},
    {{Staircase{1, 0.3}}, kReplaceOne, 1.5, 0.26365299189007544},
    {{PoissonSampled{0.2, Event{Staircase{1, 0.3}}}}, kAddRemove, 0.05, 0.072074695051599099},
    {{Staircase{0.5, 0.8}}, kAddRemove, 0.05, 0.19666201917824223},
    {{Staircase{0.5, 0.8}}, kAddRemove, 0.4, 0.051645473021760426},
    {{Staircase{0.5, 0.8}}, kReplaceOne, 0.05, 0.37924869898789996},
    {{Staircase{0.5, 0.8}}, kReplaceOne, 0.4, 0.25705597873019548},
    {{PoissonSampled{0.2, Event{Staircase{0.5, 0.8}}}}, kAddRemove, 0.05, 0.02583092334790985},
    {{Skellam{3, 1, 1}}, kAddRemove, 0.05, 0.22359425326263284},
    {{Skellam{3, 1, 1}}, kAddRemove, 0.4, 0.10747539108801638},
    {{Skellam{3, 1, 1}}, kAddRemove, 1.5, 0.00013646647897170691},
    {{Skellam{3, 1, 1}}, kReplaceOne, 0.05, 0.43051248794677566},
    {{Skellam{3, 1, 1}}, kReplaceOne, 0.4, 0.35047574524984178},
    {{Skellam{3, 1, 1}}, kReplaceOne, 1.5, 0.082595312419925074},
    {{PoissonSampled{0.2, Event{Skellam{3, 1, 1}}}}, kAddRemove, 0.05, 0.03005076314710958},
    {{PoissonSampled{0.2, Event{Skellam{3, 1, 1}}}}, kAddRemove, 0.4, 0.0003456754085546816},
    {{PoissonSampled{0.2, Event{Skellam{3, 1, 1}}}}, kReplaceOne, 0.05, 0.070577616870001091},
    {{PoissonSampled{0.2, Event{Skellam{3, 1, 1}}}}, kReplaceOne, 0.4, 0.003522032806503712},
    {{PoissonSampled{0.2, Event{Skellam{3, 1, 1}}}}, kReplaceOne, 1.5, 4.3791864130348189e-20},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{3, 1, 1}}}}, kAddRemove, 0.05, 0.10064218735243097},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{3, 1, 1}}}}, kReplaceOne, 0.05, 0.10064218735243097},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{3, 1, 1}}}}, kAddRemove, 0.4, 0.042778408981528329},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{3, 1, 1}}}}, kReplaceOne, 0.4, 0.042778408981528329},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{3, 1, 1}}}}, kAddRemove, 1.5, 0.0004874059542382456},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{3, 1, 1}}}}, kReplaceOne, 1.5, 0.0004874059542382456},
    {{Skellam{40, 2, 2}}, kAddRemove, 0.05, 0.10495066654332601},
    {{Skellam{40, 2, 2}}, kAddRemove, 0.4, 0.018541398516215203},
    {{Skellam{40, 2, 2}}, kAddRemove, 1.5, 2.3940615743982732e-8},
    {{Skellam{40, 2, 2}}, kReplaceOne, 0.05, 0.23067123420584028},
    {{Skellam{40, 2, 2}}, kReplaceOne, 0.4, 0.12027845840660099},
    {{Skellam{40, 2, 2}}, kReplaceOne, 1.5, 0.0033685369659132087},
    {{PoissonSampled{0.2, Event{Skellam{40, 2, 2}}}}, kAddRemove, 0.05, 0.0097473066931563074},
    {{PoissonSampled{0.2, Event{Skellam{40, 2, 2}}}}, kAddRemove, 0.4, 4.9599940998775195e-7},
    {{PoissonSampled{0.2, Event{Skellam{40, 2, 2}}}}, kReplaceOne, 0.05, 0.029540802669743999},
    {{PoissonSampled{0.2, Event{Skellam{40, 2, 2}}}}, kReplaceOne, 0.4, 4.6886134668801359e-5},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{40, 2, 2}}}}, kAddRemove, 0.05, 0.045764815533086574},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{40, 2, 2}}}}, kReplaceOne, 0.05, 0.045764815533086574},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{40, 2, 2}}}}, kAddRemove, 0.4, 0.004408824927748961},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{40, 2, 2}}}}, kReplaceOne, 0.4, 0.004408824927748961},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{40, 2, 2}}}}, kAddRemove, 1.5, 3.7041910773381499e-7},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{40, 2, 2}}}}, kReplaceOne, 1.5, 3.7041910773381499e-7},
    {{Skellam{0.5, 1, 1}}, kAddRemove, 0.05, 0.6359355550197046},
    {{Skellam{0.5, 1, 1}}, kAddRemove, 0.4, 0.55774506005681904},
    {{Skellam{0.5, 1, 1}}, kAddRemove, 1.5, 0.083090994390790393},
    {{Skellam{0.5, 1, 1}}, kReplaceOne, 0.05, 0.80037622427988294},
    {{Skellam{0.5, 1, 1}}, kReplaceOne, 0.4, 0.79109747747289491},
    {{Skellam{0.5, 1, 1}}, kReplaceOne, 1.5, 0.72812626483994046},
    {{PoissonSampled{0.2, Event{Skellam{0.5, 1, 1}}}}, kAddRemove, 0.05, 0.11990733866038455},
    {{PoissonSampled{0.2, Event{Skellam{0.5, 1, 1}}}}, kAddRemove, 0.4, 0.041716843697498991},
    {{PoissonSampled{0.2, Event{Skellam{0.5, 1, 1}}}}, kAddRemove, 1.5, 1.8775504825466574e-6},
    {{PoissonSampled{0.2, Event{Skellam{0.5, 1, 1}}}}, kReplaceOne, 0.05, 0.15279547251242022},
    {{PoissonSampled{0.2, Event{Skellam{0.5, 1, 1}}}}, kReplaceOne, 0.4, 0.088387327180714169},
    {{PoissonSampled{0.2, Event{Skellam{0.5, 1, 1}}}}, kReplaceOne, 1.5, 4.4323201978183933e-5},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{0.5, 1, 1}}}}, kAddRemove, 0.05, 0.19928416905436662},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{0.5, 1, 1}}}}, kReplaceOne, 0.05, 0.19928416905436662},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{0.5, 1, 1}}}}, kAddRemove, 0.4, 0.19000542224737859},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{0.5, 1, 1}}}}, kReplaceOne, 0.4, 0.19000542224737859},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{0.5, 1, 1}}}}, kAddRemove, 1.5, 0.12703420961442414},
    {{FixedSizeSampled{5, 20, false, Event{Skellam{0.5, 1, 1}}}}, kReplaceOne, 1.5, 0.12703420961442414},
    {{FixedSizeSampled{5, 20, false, Event{Gaussian{1.5}}}}, kAddRemove, 0.05, 0.11195124116357418},
    {{FixedSizeSampled{5, 20, false, Event{Gaussian{1.5}}}}, kReplaceOne, 0.05, 0.11195124116357418},
    {{FixedSizeSampled{5, 20, false, Event{Laplace{1.5}}}}, kAddRemove, 0.05, 0.10909737511165092},
    {{FixedSizeSampled{5, 20, false, Event{Laplace{1.5}}}}, kReplaceOne, 0.05, 0.10909737511165092},
    {{FixedSizeSampled{5, 20, false, Event{Gaussian{1.5}}}}, kAddRemove, 0.4, 0.058914970212434693},
    {{FixedSizeSampled{5, 20, false, Event{Gaussian{1.5}}}}, kReplaceOne, 0.4, 0.058914970212434693},
    {{FixedSizeSampled{5, 20, false, Event{Laplace{1.5}}}}, kAddRemove, 0.4, 0.028898853868979694},
    {{FixedSizeSampled{5, 20, false, Event{Laplace{1.5}}}}, kReplaceOne, 0.4, 0.028898853868979694},
    {{FixedSizeSampled{5, 20, false, Event{Gaussian{1.5}}}}, kAddRemove, 1.5, 0.0085294885194510514},
    {{FixedSizeSampled{5, 20, false, Event{Gaussian{1.5}}}}, kReplaceOne, 1.5, 0.0085294885194510514},
    {{FixedSizeSampled{6, 20, true, Event{Gaussian{3}}}}, kAddRemove, 0.05, 0.061118304479275738},
    {{FixedSizeSampled{6, 20, true, Event{Gaussian{3}}}}, kAddRemove, 0.4, 0.013751289019148608},
    {{FixedSizeSampled{6, 20, true, Event{Gaussian{3}}}}, kAddRemove, 1.5, 0.00028872506054955383}};

TEST(NoiseLaws, OneUseAgreesWithNumericalIntegrationFromBothSides) {
  for (const auto& [event, relation, epsilon, delta] : kOneUse) {
    const Bracket got = composed(event, 1, relation, 1e-4).delta_bracket(epsilon);
    EXPECT_GE(got.upper, delta * (1 - 1e-12)) << to_json(event) << " " << to_string(relation) << " " << epsilon;
    EXPECT_LE(got.lower, delta * (1 + 1e-12)) << to_json(event) << " " << to_string(relation) << " " << epsilon;
    EXPECT_LE(got.upper - got.lower, 1e-3 * got.upper + 1e-30)
        << to_json(event) << " " << to_string(relation) << " " << epsilon << " " << delta;
  }
}

// Compositions of events that are the same, or nearly so, said in two ways: brackets overlap.
void expect_overlap(const PldAccountant& one, const PldAccountant& other, double apart = 0) {
  for (const double delta : {1e-12, 1e-5, 0.01}) {
    const Bracket a = one.epsilon_bracket(delta), b = other.epsilon_bracket(delta);
    EXPECT_LE(std::max(a.lower, b.lower), std::min(a.upper, b.upper) * (1 + apart)) << delta;
    EXPECT_LE(a.upper - a.lower, 1e-3 * a.upper) << delta;
    EXPECT_LE(b.upper - b.lower, 1e-3 * b.upper) << delta;
  }
}

TEST(NoiseLaws, TwoWaysToSayTheSameThingOverlap) {
  // The noise beyond 60 scales is 1e-26 of it.
  expect_overlap(composed({TruncatedLaplace{4, 240}}, 40), composed({Laplace{4}}, 40), 1e-9);
  expect_overlap(composed({TruncatedLaplace{4, 240}}, 40, kReplaceOne), composed({TruncatedLaplace{2, 120}}, 40));
  expect_overlap(composed({PoissonSampled{0.1, Event{TruncatedLaplace{2, 120}}}}, 40),
                 composed({PoissonSampled{0.1, Event{Laplace{2}}}}, 40), 1e-9);
  expect_overlap(composed({Skellam{40, 1, 1}}, 30, kReplaceOne), composed({Skellam{40, 2, 2}}, 30));
  expect_overlap(composed({Skellam{40, 2, 2}}, 30, kZeroOut), composed({Skellam{40, 2, 2}}, 30));
  // With γ = 1/2 all others weigh on one side and the sum moves by one or not at all.
  expect_overlap(composed({FixedSizeSampled{50, 100, false, Event{Gaussian{4}}}}, 20),
                 composed({PoissonSampledGaussian{2, 0.5}}, 20));
  // A step fraction of 1/2 leaves no outputs between the stairs: plain randomised response.
  expect_overlap(composed({Staircase{0.4, 0.5}}, 20), composed({EpsilonDelta{0.4, 0}}, 20));
}

// All losses of n uses of staircase noise: a multinomial in long double, from the masses of one use.
TEST(NoiseLaws, CompositionsOfStaircasesAreMultinomial) {
  for (const auto& [epsilon0, fraction, uses] : {std::tuple{0.5, 0.8, 12}, {0.2, 0.1, 40}, {2.0, 0.3, 3}}) {
    const long double fall = std::exp(-static_cast<long double>(epsilon0));
    const long double top = (1 - fall) / (2 * fraction + 2 * fall * (1 - fraction));
    const long double flat =
        std::abs(1 - 2 * static_cast<long double>(fraction)) * top * (fraction < 0.5 ? fall : 1.0L);
    const long double up = (1 - flat) / (1 + fall), down = up * fall;
    const auto accountant = composed({Staircase{epsilon0, fraction}}, uses, kAddRemove, 1e-5);
    for (const double epsilon : {0.1 * epsilon0, 1.3 * epsilon0, 2.4 * epsilon0}) {
      long double truth = 0;
      for (int ups = 0; ups <= uses; ++ups)
        for (int downs = 0; ups + downs <= uses; ++downs) {
          const long double loss = static_cast<long double>(epsilon0) * (ups - downs);
          if (loss <= epsilon) continue;
          truth += std::exp(std::lgamma(uses + 1.0L) - std::lgamma(ups + 1.0L) - std::lgamma(downs + 1.0L) -
                            std::lgamma(uses - ups - downs + 1.0L) + ups * std::log(up) + downs * std::log(down) +
                            (uses - ups - downs) * std::log(flat)) *
                   -std::expm1(epsilon - loss);
        }
      const Bracket got = accountant.delta_bracket(epsilon);
      EXPECT_GE(got.upper, truth * (1 - 1e-13L)) << epsilon0 << " " << epsilon;
      EXPECT_LE(got.lower, truth * (1 + 1e-13L)) << epsilon0 << " " << epsilon;
      EXPECT_LE(got.upper - got.lower, 1e-4 * got.upper) << epsilon0 << " " << epsilon;
    }
  }
}

TEST(NoiseLaws, SkellamMassesAreBesselFunctions) {
  // e^−v I_k(v), mpmath 1.3: exp(-v)*besseli(k, v).
  const struct {
    double variance, k, mass;
  } kKnown[] = {
      {0.5, 0, 0.64503527044915007},   {0.5, 7, 7.4027611628338301e-9},     {3, 1, 0.19682671329730085},
      {3, 40, 7.1275379452733132e-43}, {40, 2, 0.060154168421513227},       {40, 90, 2.6002327351452808e-37},
      {1000, 0, 0.012617240455891257}, {1000, 300, 4.9103801083448402e-22}, {1e+06, 5000, 1.4867491253419723e-9}};
  for (const auto& [variance, k, mass] : kKnown) {
    const SkellamMasses noise(variance);
    EXPECT_NEAR(noise.mass(k) / mass, 1, (k + 8) * 4 * 0x1p-53) << variance << " " << k;
    EXPECT_EQ(noise.mass(-k), noise.mass(k));
    EXPECT_GE(noise.tail(k), mass) << variance << " " << k;
  }
  for (const double variance : {1e-30, 1.0, 1e7}) {
    const SkellamMasses noise(variance);
    double sum = 0;
    for (double k = noise.reach(); k > 0; --k) sum += 2 * noise.mass(k);
    EXPECT_NEAR(sum + noise.mass(0), 1, 1e-12) << variance;
  }
}

TEST(NoiseLaws, SkellamOfManyEntriesIsBoundedByItsL1AndItsL2Sensitivity) {
  const Bracket one = composed({Skellam{400, 3, 3}}, 20).epsilon_bracket(1e-6);
  const Bracket whole = composed({Skellam{400, 6, 6}}, 20).epsilon_bracket(1e-6);
  const Bracket between = composed({Skellam{400, 6, 3}}, 20).epsilon_bracket(1e-6);
  EXPECT_LE(between.lower, one.upper);
  EXPECT_GE(between.lower, one.lower * (1 - 2e-3)) << "one entry may move by 3";
  EXPECT_LE(between.upper, whole.upper * (1 + 1e-3)) << "all entries together move by 6";
  // Six entries that move by one each have the same L1 norm and an L2 norm of √6.
  const Bracket spread = composed({Skellam{400, 6, std::sqrt(6.0)}}, 20).epsilon_bracket(1e-6);
  EXPECT_LE(spread.upper, whole.upper * (1 + 1e-3));
  EXPECT_EQ(composed({Skellam{400, 9, 0.5}}, 20).epsilon(1e-6), 0) << "no integer vector but 0 is as short";
}

TEST(NoiseLaws, BatchesOfFixedSizeCostLessThanTheWholeAndMoreThanNothing) {
  for (const Event& event : {Event{Gaussian{2}}, Event{Laplace{3}}, Event{TruncatedLaplace{3, 60}},
                             Event{DiscreteGaussian{4, 2}}, Event{DiscreteLaplace{6, 2}}, Event{Skellam{20, 2, 2}}}) {
    for (const auto relation : {kAddRemove, kReplaceOne, kZeroOut}) {
      double before = 0;
      for (const int64_t size : {1, 10, 60, 99}) {
        const Bracket got = composed({FixedSizeSampled{size, 100, false, event}}, 30, relation).epsilon_bracket(1e-4);
        EXPECT_GE(got.upper, before) << to_json(event) << " " << size;
        EXPECT_GT(got.lower, 0) << to_json(event) << " " << size;
        before = got.upper;
      }
      // The batch takes another in the unit's place: at most what replacing it costs.
      EXPECT_LE(before, composed(event, 30, kReplaceOne).epsilon(1e-4) * (1 + 2e-3)) << to_json(event);
    }
    EXPECT_NEAR(composed({FixedSizeSampled{100, 100, false, event}}, 30, kReplaceOne).epsilon(1e-4) /
                    composed(event, 30, kReplaceOne).epsilon(1e-4),
                1, 1e-3);
  }
}

TEST(NoiseLaws, AReplacedUnitOfABatchCostsAtLeastWhatItsLowerPairDoes) {
  // Under replace_one the bracket lies between the composition of one attained pair and the mirrored one.
  const Event batch{FixedSizeSampled{10, 100, false, Event{Gaussian{4}}}};
  for (const int64_t count : {1, 20, 400}) {
    const Bracket replaced = composed(batch, count, kReplaceOne).epsilon_bracket(1e-5);
    const Bracket removed = composed(batch, count, kAddRemove).epsilon_bracket(1e-5);
    const Bracket zeroed = composed(batch, count, kZeroOut).epsilon_bracket(1e-5);
    EXPECT_LE(removed.lower, replaced.upper) << count;
    EXPECT_GE(replaced.lower, removed.lower * (1 - 2e-3)) << count;
    EXPECT_LE(zeroed.lower, replaced.lower * (1 + 2e-3)) << count;
    // Wang, Balle, Kasiviswanathan 2019, Theorem 9 is a bound on the same thing.
    const auto rdp = make_accountant("rdp", kReplaceOne);
    rdp->compose(batch, count);
    EXPECT_LE(replaced.lower, rdp->epsilon(1e-5)) << count;
    EXPECT_LT(replaced.upper, rdp->epsilon(1e-5)) << count;
  }
}

TEST(NoiseLaws, AMirroredLawIsTheSameInBothDirectionsAndKeepsDelta) {
  const auto law = std::make_shared<ShiftedNoiseLaw>(NoiseShape::gaussian, 1.5,
                                                     std::vector<Shift>{{0, 0.75, 1}, {2, 0.25, 0}}, 0, 0.0);
  const LossCells cells = law->cells(1e-3, 1e-15), mirrored = MirroredLaw(law).cells(1e-3, 1e-15);
  double sum = 0;
  for (size_t k = 0; k < mirrored.p.size(); ++k) {
    sum += mirrored.p[k];
    EXPECT_NEAR(mirrored.q[k] / mirrored.p[k], std::exp(-mirrored.loss[k]), 1e-9 * std::exp(-mirrored.loss[k]));
  }
  EXPECT_NEAR(sum, 1, 1e-11) << "a little more for rounding";
  const LossCells reversed = mirrored.reversed();
  for (const double epsilon : {0.0, 0.3, 2.0}) {
    double want = 0, got = 0, back = 0;
    for (size_t k = 0; k < cells.p.size(); ++k) want += std::max(0.0, cells.p[k] - std::exp(epsilon) * cells.q[k]);
    for (size_t k = 0; k < mirrored.p.size(); ++k) {
      got += std::max(0.0, mirrored.p[k] - std::exp(epsilon) * mirrored.q[k]);
      back += std::max(0.0, reversed.p[k] - std::exp(epsilon) * reversed.q[k]);
    }
    EXPECT_NEAR(got, want, 1e-12) << epsilon;
    EXPECT_NEAR(back, want, 1e-12) << epsilon;
  }
}

TEST(NoiseLaws, WhoRarelyJoinsAndIsThenSeenForSureCostsTheRate) {
  // The densities of the two Gaussians cross 9 σ from either centre: δ = q but for 1e-15 of it.
  for (const double sigma : {0.05, 0.02, 1e-3, 1e-9})
    for (const double rate : {1e-6, 1e-9}) {
      const Bracket one = composed({PoissonSampledGaussian{sigma, rate}}, 1).delta_bracket(0.5);
      EXPECT_GE(one.upper, rate * (1 - 1e-9)) << sigma << " " << rate;
      if (rate == 1e-6) {
        EXPECT_LE(one.upper, rate * (1 + 1e-3)) << sigma;
      }
      EXPECT_LE(one.lower, rate * (1 + 1e-9)) << sigma << " " << rate;
      EXPECT_GE(composed({PoissonSampledGaussian{sigma, rate}}, 100).delta(0.5), 99.9 * rate) << sigma << " " << rate;
    }
}

TEST(NoiseLaws, WhatHasNoTheoremIsRefused) {
  const std::vector<std::pair<Event, NeighbouringRelation>> refused = {
      {{FixedSizeSampled{5, 20, true, Event{Gaussian{1}}}}, kReplaceOne},
      {{FixedSizeSampled{5, 20, true, Event{Gaussian{1}}}}, kZeroOut},
      {{FixedSizeSampled{2000, 20, true, Event{Gaussian{1}}}}, kAddRemove},
      {{FixedSizeSampled{20, 20, false, Event{Gaussian{1}}}}, kAddRemove},
      {{FixedSizeSampled{5, 20, false, Event{EpsilonDelta{1, 0}}}}, kAddRemove},
      {{PoissonSampled{0.1, Event{Staircase{1, 0.3}}}}, kReplaceOne},
      {{PoissonSampledDiscreteGaussian{1, 0.1}}, kAddRemove}};
  for (const auto& [event, relation] : refused) {
    EXPECT_EQ(loss_law(event, relation), nullptr) << to_json(event);
    PldAccountant accountant(relation);
    EXPECT_THROW(accountant.compose(event), Error) << to_json(event);
  }
}

TEST(NoiseLaws, ExtremesGiveABracketThatGrowsWithUsesAndNeverNan) {
  for (const auto relation : {kAddRemove, kReplaceOne})
    for (const double noise : {0.0, 1e-9, 0.2, 1000.0, 1e60}) {
      std::vector<Event> plain{
          {TruncatedLaplace{noise, 20}}, {TruncatedLaplace{noise, 0.3}}, {Gaussian{noise}}, {Laplace{noise}}};
      if (noise * noise < 1e7) plain.push_back({Skellam{noise * noise, 1, 1}});
      if (noise > 0 && noise < 1e12) plain.push_back({Staircase{1 / noise, 0.25}});
      for (const Event& event : plain) {
        std::vector<Event> events{event};
        for (const double rate : {1e-200, 1e-6})
          if (!std::holds_alternative<Staircase>(event.mechanism) || relation == kAddRemove)
            events.push_back(poisson_sampled(rate, event));
        for (const int64_t size : {1, 999'999}) events.push_back({FixedSizeSampled{size, 1'000'000, false, event}});
        for (const Event& each : events) {
          double before = 0;
          for (const int64_t count : {int64_t{1}, int64_t{1'000'000}}) {
            PldAccountant accountant(relation,
                                     {.relative_gap = 1e-2, .largest_transform = 1 << 14, .most_levels = 1 << 13});
            accountant.compose(each, count);
            const Bracket small = accountant.epsilon_bracket(1e-30), large = accountant.epsilon_bracket(1e-4);
            EXPECT_TRUE(0 <= small.lower && small.lower <= small.upper) << to_json(each) << " " << count;
            EXPECT_TRUE(0 <= large.lower && large.lower <= large.upper) << to_json(each) << " " << count;
            EXPECT_LE(large.lower, small.upper) << to_json(each) << " " << count;
            EXPECT_GE(large.upper, before * (1 - 1e-2)) << to_json(each) << " " << count;
            before = large.upper;
            const Bracket delta = accountant.delta_bracket(0.5);
            EXPECT_TRUE(0 <= delta.lower && delta.lower <= delta.upper && delta.upper <= 1) << to_json(each);
          }
        }
      }
    }
}

}  // namespace
}  // namespace sotto::accountants

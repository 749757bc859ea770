#include "accountants/event.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "accountants/accountant.h"
#include "accountants/event/parts.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

std::string message_of(const auto& action, ErrorKind kind) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

// Every mechanism there is, and its canonical text: ledgers hold these, so none may ever change.
const struct {
  Event event;
  const char* text;
} kEvery[] = {
    {{PoissonSampledGaussian{1.5, 0.01}},
     R"({"mechanism":"poisson_sampled_gaussian","noise_multiplier":1.5,"sample_rate":0.01})"},
    {{Gaussian{2}}, R"({"mechanism":"gaussian","noise_multiplier":2.0})"},
    {{PoissonSampledDiscreteGaussian{1.5, 0.01}},
     R"({"mechanism":"poisson_sampled_discrete_gaussian","noise_multiplier":1.5,"sample_rate":0.01})"},
    {{PoissonSampledLatticeGaussian{1.5, 0.01, 1000}},
     R"({"mechanism":"poisson_sampled_lattice_gaussian","noise_multiplier":1.5,"sample_rate":0.01,"sigma":1000.0})"},
    {{LocalChannel{{{0.75, 0.25}, {0.5, 0.5}}}}, R"({"mechanism":"local_channel","table":[[0.75,0.25],[0.5,0.5]]})"},
    {{Laplace{3}}, R"({"mechanism":"laplace","noise_multiplier":3.0})"},
    {{DiscreteLaplace{10, 3}}, R"({"mechanism":"discrete_laplace","scale":10.0,"sensitivity":3})"},
    {{DiscreteGaussian{2.5, 1}}, R"({"mechanism":"discrete_gaussian","sensitivity":1,"sigma":2.5})"},
    {{Skellam{100, 4, 2}}, R"({"l1_sensitivity":4.0,"l2_sensitivity":2.0,"mechanism":"skellam","variance":100.0})"},
    {{TruncatedLaplace{2, 9}}, R"({"bound_multiplier":9.0,"mechanism":"truncated_laplace","noise_multiplier":2.0})"},
    {{Staircase{1, 0.25}}, R"({"epsilon":1.0,"mechanism":"staircase","step_fraction":0.25})"},
    {{RandomizedResponse{0.5, 10}}, R"({"categories":10,"epsilon":0.5,"mechanism":"randomized_response"})"},
    {{EpsilonDelta{0.5, 1e-6}}, R"({"delta":1e-06,"epsilon":0.5,"mechanism":"epsilon_delta"})"},
    {{ExponentialMechanism{1, true}}, R"({"epsilon":1.0,"mechanism":"exponential_mechanism","monotone":true})"},
    {{ReportNoisyMax{4, false}}, R"({"mechanism":"report_noisy_max","monotone":false,"noise_multiplier":4.0})"},
    {{SparseVector{2, 8, 5, false}},
     R"({"mechanism":"sparse_vector","monotone":false,"most_above":5,"query_noise_multiplier":8.0,"threshold_noise_multiplier":2.0})"},
    {{MixtureOfGaussians{1, {0, 1, 2}, {0.25, 0.5, 0.25}}},
     R"({"mechanism":"mixture_of_gaussians","noise_multiplier":1.0,"probabilities":[0.25,0.5,0.25],"sensitivities":[0.0,1.0,2.0]})"},
    {{TreeAggregation{5, 1000}}, R"({"mechanism":"tree_aggregation","noise_multiplier":5.0,"steps":1000})"},
    {{BandedMatrixFactorisation{1, 0.01, 8, 2000}},
     R"({"bands":8,"mechanism":"banded_matrix_factorisation","noise_multiplier":1.0,"sample_rate":0.01,"steps":2000})"},
    {{PoissonSampled{0.5, Event{Laplace{3}}}},
     R"({"event":{"mechanism":"laplace","noise_multiplier":3.0},"mechanism":"poisson_sampled","sample_rate":0.5})"},
    {{FixedSizeSampled{50, 1000, false, Event{Gaussian{2}}}},
     R"({"batch_size":50,"event":{"mechanism":"gaussian","noise_multiplier":2.0},"mechanism":"fixed_size_sampled","population_size":1000,"with_replacement":false})"},
    {{Shuffled{1000, Event{EpsilonDelta{1, 0}}}},
     R"({"event":{"delta":0.0,"epsilon":1.0,"mechanism":"epsilon_delta"},"mechanism":"shuffled","reports":1000})"},
    {{RandomAllocation{100, 1, Event{Gaussian{2}}}},
     R"({"event":{"mechanism":"gaussian","noise_multiplier":2.0},"mechanism":"random_allocation","selected":1,"steps":100})"},
    {{SelfComposed{Event{Gaussian{2}}, 7}},
     R"({"count":7,"event":{"mechanism":"gaussian","noise_multiplier":2.0},"mechanism":"self_composed"})"},
    {{Composed{{Event{Gaussian{2}}, Event{NonPrivate{}}}}},
     R"({"events":[{"mechanism":"gaussian","noise_multiplier":2.0},{"mechanism":"non_private"}],"mechanism":"composed"})"},
    {{PostProcessing{}}, R"({"mechanism":"post_processing"})"},
    {{NonPrivate{}}, R"({"mechanism":"non_private"})"},
    {{Unsupported{"a \"new\" thing"}}, R"({"description":"a \"new\" thing","mechanism":"unsupported"})"},
};

TEST(Event, EveryMechanismHasCanonicalJsonThatReadsBackToTheSameValue) {
  ASSERT_EQ(std::size(kEvery), std::variant_size_v<decltype(Event::mechanism)>);
  for (const auto& each : kEvery) {
    EXPECT_EQ(to_json(each.event), each.text);
    EXPECT_EQ(event_from_json(each.text), each.event) << each.text;
    for (const auto& other : kEvery) EXPECT_EQ(each.event == other.event, &each == &other) << each.text << other.text;
  }
}

TEST(Event, JsonOfAnyOrderAndSpacingMeansTheSame) {
  EXPECT_EQ(event_from_json(R"( { "sample_rate" : 5e-1, "event" : { "noise_multiplier" : 3, "mechanism" : "laplace" },
                                  "mechanism" : "poisson_sampled" } )"),
            (Event{PoissonSampled{0.5, Event{Laplace{3}}}}));
}

TEST(Event, EveryDoubleReadsBackToTheSameBits) {
  std::mt19937_64 rng(7);
  std::uniform_real_distribution<double> exponent(-300, 2), rate(0, 1);
  for (int i = 0; i < 2000; ++i) {
    const Event event{PoissonSampledGaussian{std::pow(10.0, exponent(rng)), rate(rng)}};
    EXPECT_EQ(event_from_json(to_json(event)), event) << to_json(event);
    const auto [noise_multiplier, sample_rate] = std::get<PoissonSampledGaussian>(event.mechanism);
    const Event discrete{PoissonSampledDiscreteGaussian{noise_multiplier, sample_rate}};
    EXPECT_EQ(event_from_json(to_json(discrete)), discrete) << to_json(discrete);
  }
  const Event smallest{PoissonSampledGaussian{5e-324, 0}};
  EXPECT_EQ(event_from_json(to_json(smallest)), smallest);
}

TEST(Event, AnInvalidValueIsNamedWithItsLimit) {
  const struct {
    Event event;
    const char* part;
  } cases[] = {
      {{PoissonSampledGaussian{-1, 0.1}}, "noise_multiplier must be finite and at least 0, got -1"},
      {{PoissonSampledGaussian{NAN, 0.1}}, "got nan"},
      {{PoissonSampledGaussian{1, 1.5}}, "sample_rate must be between 0 and 1, got 1.5"},
      {{PoissonSampledGaussian{1, NAN}}, "sample_rate must be between 0 and 1, got nan"},
      {{Gaussian{INFINITY}}, "got inf"},
      {{PoissonSampledDiscreteGaussian{-2, 0.1}}, "noise_multiplier must be finite and at least 0, got -2"},
      {{PoissonSampledDiscreteGaussian{1, -0.5}}, "sample_rate must be between 0 and 1, got -0.5"},
      {{Laplace{-1}}, "noise_multiplier must be finite and at least 0, got -1"},
      {{DiscreteLaplace{1, 0}}, "sensitivity must be between 1 and 2^53, got 0"},
      {{DiscreteGaussian{1, (int64_t{1} << 53) + 1}}, "sensitivity must be between 1 and 2^53, got 9007199254740993"},
      {{Skellam{1, 1, 2}}, "l2_sensitivity must be at most l1_sensitivity, got 2 above 1"},
      {{TruncatedLaplace{1, 0}}, "bound_multiplier must be finite and above 0, got 0"},
      {{Staircase{1, 1.5}}, "step_fraction must be between 0 and 1, got 1.5"},
      {{RandomizedResponse{1, 1}}, "categories must be between 2 and 2^53, got 1"},
      {{EpsilonDelta{INFINITY, 0}}, "epsilon must be finite and at least 0, got inf"},
      {{EpsilonDelta{1, NAN}}, "delta must be between 0 and 1, got nan"},
      {{SparseVector{1, 1, 0, false}}, "most_above must be between 1 and 2^53, got 0"},
      {{PoissonSampledLatticeGaussian{1, 0.1, 0}}, "sigma must be finite and above 0, got 0"},
      {{LocalChannel{{{0.5, 0.5}}}}, "a channel needs 2 to 64 rows, one an input, got 1"},
      {{LocalChannel{{{0.5, 0.5}, {1}}}}, "as many entries each, got 1 and 2"},
      {{LocalChannel{{{0.5, 0.5}, {0.5, 0.6}}}}, "each row of a channel must sum to 1, got 1.1"},
      {{LocalChannel{{{0.5, 0.5}, {1.5, -0.5}}}}, "table must be between 0 and 1, got 1.5"},
      {{MixtureOfGaussians{1, {}, {}}}, "a probability for each sensitivity, got 0 for 0"},
      {{MixtureOfGaussians{1, {0, 1}, {1}}}, "a probability for each sensitivity, got 1 for 2"},
      {{MixtureOfGaussians{1, {1, 1}, {0.5, 0.5}}}, "sensitivities must ascend"},
      {{MixtureOfGaussians{1, {0, 1}, {0.5, 0.4}}}, "probabilities must sum to 1, got 0.9"},
      {{BandedMatrixFactorisation{1, 0.5, 3, 9}}, "at most 1, got 1.5"},
      {{FixedSizeSampled{11, 10, false, Event{Gaussian{1}}}}, "batch_size must be at most population_size"},
      {{RandomAllocation{2, 3, Event{Gaussian{1}}}}, "selected must be at most steps, got 3 of 2"},
      {{SelfComposed{Event{Gaussian{1}}, -1}}, "count must be between 0 and 2^53, got -1"},
      {{SelfComposed{Event{Gaussian{-3}}, 1}}, "noise_multiplier must be finite and at least 0, got -3"},
      {{Composed{{Event{Gaussian{1}}, Event{Gaussian{-4}}}}}, "got -4"},
      {{Unsupported{""}}, "1 to 200 printable ASCII characters"},
      {{Unsupported{"\xff"}}, "1 to 200 printable ASCII characters"},
  };
  for (const auto& each : cases) {
    EXPECT_NE(message_of([&] { validate(each.event); }, ErrorKind::configuration).find(each.part), std::string::npos)
        << each.part;
    message_of([&] { to_json(each.event); }, ErrorKind::configuration);
  }
}

TEST(Event, WhatIsNotExactlyAnEventIsRefused) {
  for (const char* text :
       {"",
        "{}",
        "[]",
        "null",
        "{\"mechanism\":3}",
        R"({"mechanism":"laplace","b":1})",
        R"({"mechanism":"gaussian"})",
        R"({"mechanism":"gaussian","noise_multiplier":"1"})",
        R"({"mechanism":"gaussian","noise_multiplier":null})",
        R"({"mechanism":"gaussian","noise_multiplier":1,"sample_rate":0.5})",
        R"({"mechanism":"gaussian","noise_multiplier":-1})",
        R"({"mechanism":"poisson_sampled_gaussian","noise_multiplier":1,"sample_rate":2})",
        R"({"mechanism":"discrete_gaussian","noise_multiplier":1,"sample_rate":0.5})",
        R"({"mechanism":"poisson_sampled_discrete_gaussian","noise_multiplier":1})",
        R"({"mechanism":"poisson_sampled_discrete_gaussian","noise_multiplier":1,"sample_rate":2})",
        R"({"mechanism":"laplace","noise_multiplier":1,"noise_multiplier":9})",
        R"({"mechanism":"discrete_laplace","scale":1,"sensitivity":1.5})",
        R"({"mechanism":"discrete_laplace","scale":1,"sensitivity":18446744073709551615})",
        R"({"mechanism":"exponential_mechanism","epsilon":1,"monotone":1})",
        R"({"mechanism":"unsupported","description":3})",
        R"({"mechanism":"composed","events":{}})",
        R"({"mechanism":"composed","events":[{}]})",
        R"({"mechanism":"composed","events":[1]})",
        R"({"mechanism":"mixture_of_gaussians","noise_multiplier":1,"probabilities":["1"],"sensitivities":[1]})",
        R"({"mechanism":"poisson_sampled","sample_rate":0.5,"event":"laplace"})",
        R"({"mechanism":"poisson_sampled","sample_rate":0.5,"event":{"mechanism":"gaussian","noise_multiplier":1}})",
        R"({"mechanism":"non_private","epsilon":1})"})
    EXPECT_FALSE(message_of([&] { event_from_json(text); }, ErrorKind::data).empty()) << text;
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(Event, DeepNestingIsRefusedAndNeverOverflowsTheStack) {
  Event event{Gaussian{1}};
  for (int level = 1; level < Nested::kDeepest; ++level) event = {SelfComposed{event, 1}};
  EXPECT_EQ(event_from_json(to_json(event)), event) << "as deep as allowed";
  EXPECT_NE(message_of(
                [&] {
                  (void)Event{SelfComposed{event, 1}};
                },
                ErrorKind::configuration)
                .find("16 deep"),
            std::string::npos);

  const int deep = 1'000'000;
  for (const auto& [opening, closing] : {std::pair{R"({"mechanism":"self_composed","count":1,"event":)", "}"},
                                         {R"({"mechanism":"composed","events":[)", "]}"},
                                         {"[", "]"},
                                         {R"({"a":)", "}"}}) {
    const std::string text = repeated(opening, deep) + "1" + repeated(closing, deep);
    EXPECT_NE(message_of([&] { event_from_json(text); }, ErrorKind::data).find("16 deep"), std::string::npos);
    message_of([&] { event_from_json(repeated(opening, deep)); }, ErrorKind::data);
  }
}

TEST(Event, WideSharingIsRefusedBeforeItIsWalked) {
  Event event{Gaussian{1}};  // shared a hundredfold at each level: small in memory, 10^30 events to walk
  const auto widen = [&] {
    for (int level = 1; level < Nested::kDeepest; ++level) event = {Composed{std::vector<Nested>(100, Nested(event))}};
  };
  EXPECT_NE(message_of(widen, ErrorKind::configuration).find("at most 65536 events"), std::string::npos);
}

TEST(Event, ABatchIsSaidInOneWay) {
  EXPECT_EQ(poisson_sampled(0.1, {Gaussian{2}}), (Event{PoissonSampledGaussian{2, 0.1}}));
  EXPECT_EQ(poisson_sampled(0.1, {Laplace{2}}), (Event{PoissonSampled{0.1, Event{Laplace{2}}}}));
  EXPECT_EQ(poisson_sampled(1, {PoissonSampledGaussian{2, 0.1}}), (Event{PoissonSampledGaussian{2, 0.1}}));
  const Event twice = poisson_sampled(0.1, poisson_sampled(0.3, {Laplace{2}}));
  const double rate = std::get<PoissonSampled>(twice.mechanism).sample_rate;
  EXPECT_GE(rate, 0.03);
  EXPECT_LE(rate, 0.03 * (1 + 1e-15));
  for (const Event& event : {Event{Gaussian{2}}, Event{PoissonSampledGaussian{2, 0.1}},
                             Event{PoissonSampledDiscreteGaussian{2, 0.1}}, twice}) {
    const Event another_way{PoissonSampled{0.1, event}};
    EXPECT_NE(message_of([&] { validate(another_way); }, ErrorKind::configuration).find("event of its own"),
              std::string::npos);
  }
}

TEST(EventParts, CompositionsAreTakenApartAndCounted) {
  const Event inner{Composed{{Event{Gaussian{2}}, Event{SelfComposed{Event{Laplace{3}}, 5}}, Event{PostProcessing{}}}}};
  const auto parts = parts_of({SelfComposed{inner, 7}}, 11, NeighbouringRelation::add_remove);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].event, Event{Gaussian{2}});
  EXPECT_EQ(parts[0].count, 77);
  EXPECT_EQ(parts[1].event, Event{Laplace{3}});
  EXPECT_EQ(parts[1].count, 385);
  EXPECT_TRUE(parts_of(inner, 0, NeighbouringRelation::add_remove).empty());
  const Event many{SelfComposed{Event{Laplace{3}}, int64_t{1} << 40}};
  message_of([&] { parts_of(many, 1 << 20, NeighbouringRelation::add_remove); }, ErrorKind::configuration);
}

TEST(EventParts, WhatIsASimplerEventBecomesItRoundedTowardsMoreSpent) {
  // 1000 leaves need 10 nodes on a path, 1023 as well, 1024 eleven (Kairouz et al. 2021).
  for (const auto& [steps, nodes] : {std::pair{1, 1}, {2, 2}, {3, 2}, {4, 3}, {1000, 10}, {1023, 10}, {1024, 11}}) {
    const auto parts = parts_of({TreeAggregation{5, steps}}, 3, NeighbouringRelation::zero_out);
    ASSERT_EQ(parts.size(), 1u);
    EXPECT_EQ(parts[0].count, 3);
    const double noise = std::get<Gaussian>(parts[0].event.mechanism).noise_multiplier;
    EXPECT_LE(static_cast<long double>(noise) * noise * nodes, 25);
    EXPECT_NEAR(noise, 5 / std::sqrt(nodes), 1e-14);
  }
  EXPECT_EQ(parts_of({TreeAggregation{5, 8}}, 1, NeighbouringRelation::add_remove)[0].event,
            (Event{TreeAggregation{5, 8}}));
  const auto banded = parts_of({BandedMatrixFactorisation{1, 0.01, 8, 2001}}, 1, NeighbouringRelation::add_remove);
  ASSERT_EQ(banded.size(), 1u);
  EXPECT_EQ(banded[0].count, 251);
  const auto group = std::get<PoissonSampledGaussian>(banded[0].event.mechanism);
  EXPECT_EQ(group.noise_multiplier, 1);
  EXPECT_GE(group.sample_rate, 0.08);
  EXPECT_NEAR(group.sample_rate, 0.08, 1e-16);
  EXPECT_TRUE(parts_of({PoissonSampled{0, Event{Laplace{1}}}}, 5, NeighbouringRelation::add_remove).empty());
  EXPECT_EQ(parts_of({PoissonSampled{1, Event{Laplace{1}}}}, 5, NeighbouringRelation::add_remove)[0].event,
            Event{Laplace{1}});
}

TEST(Event, AnAccountantRefusesByNameWhatItDoesNotKnowAndTakesNothing) {
  for (const std::string& name : fixed_schedule_accountant_names()) {
    const auto accountant = make_fixed_schedule_accountant(name, NeighbouringRelation::add_remove);
    const Event strange{Composed{{Event{Gaussian{1}}, Event{Unsupported{"quantum noise"}}}}};
    EXPECT_FALSE(accountant->supports(strange));
    const std::string message = message_of([&] { accountant->compose(strange); }, ErrorKind::configuration);
    EXPECT_NE(message.find("quantum noise"), std::string::npos) << message;
    EXPECT_NE(message.find(name), std::string::npos) << message;
    EXPECT_EQ(accountant->epsilon(1e-5), 0);
    // Whatever an accountant says it supports it must be able to bound, and the rest it must refuse.
    for (const auto& each : kEvery) {
      const auto fresh = make_fixed_schedule_accountant(name, NeighbouringRelation::add_remove);
      if (!fresh->supports(each.event)) {
        message_of([&] { fresh->compose(each.event); }, ErrorKind::configuration);
        continue;
      }
      fresh->compose(each.event);
      const Bracket bracket = fresh->epsilon_bracket(1e-5);
      EXPECT_LE(bracket.lower, bracket.upper) << name << each.text;
      EXPECT_EQ(bracket.upper == 0, each.event == Event{PostProcessing{}}) << name << each.text;
    }
    accountant->compose({NonPrivate{}});
    EXPECT_EQ(accountant->epsilon(1e-5), INFINITY);
    EXPECT_EQ(accountant->delta(1e3), 1);
  }
}

TEST(NeighbouringRelation, NamesReadBackAndUnknownOnesListTheKnown) {
  for (const char* name : {"add_remove", "replace_one", "zero_out"})
    EXPECT_EQ(to_string(relation_from_string(name)), name);
  EXPECT_NE(message_of([] { relation_from_string("add"); }, ErrorKind::configuration)
                .find("add_remove, replace_one, zero_out"),
            std::string::npos);
}

}  // namespace
}  // namespace sotto::accountants

#include "accountants/event_list.h"

#include <gtest/gtest.h>

#include <cmath>

#include "accountants/accountant.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

Event one(const std::string& text) {
  const EventList events = event_list_from_json(text);
  EXPECT_EQ(events.size(), 1u) << text;
  EXPECT_EQ(events.front().count, 1) << text;
  return events.front().event;
}

TEST(EventList, IsReadFromAnEventOrAListOfThemWithCounts) {
  EXPECT_EQ(one(R"({"mechanism":"gaussian","noise_multiplier":2})"), Event{Gaussian{2}});
  const EventList events = event_list_from_json(R"([
    {"event": {"mechanism":"poisson_sampled_gaussian","noise_multiplier":1.1,"sample_rate":0.01}, "count": 1000},
    {"mechanism":"laplace","noise_multiplier":3},
    {"event": {"class_name":"GaussianDpEvent","noise_multiplier":4}, "count": 7}])");
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].event, (Event{PoissonSampledGaussian{1.1, 0.01}}));
  EXPECT_EQ(events[0].count, 1000);
  EXPECT_EQ(events[1].event, Event{Laplace{3}});
  EXPECT_EQ(events[2].event, Event{Gaussian{4}});
  EXPECT_EQ(events[2].count, 7);
  const EventList again = event_list_from_json(to_json(events));
  ASSERT_EQ(again.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(again[i].event, events[i].event);
}

// What dp-accounting 0.6.0's to_named_tuple() gives for each class, and what its documentation says that it means.
TEST(DpEvent, MeansWhatDpAccountingSaysItMeans) {
  const struct {
    const char* text;
    Event event;
  } cases[] = {
      {R"({"class_name":"NoOpDpEvent","module_name":"dp_accounting.dp_event"})", {PostProcessing{}}},
      {R"({"class_name":"NonPrivateDpEvent"})", {NonPrivate{}}},
      {R"({"class_name":"LaplaceDpEvent","noise_multiplier":2.5})", {Laplace{2.5}}},
      {R"({"class_name":"SelfComposedDpEvent","count":9,"event":{"class_name":"GaussianDpEvent","noise_multiplier":3}})",
       {SelfComposed{Event{Gaussian{3}}, 9}}},
      {R"({"class_name":"ComposedDpEvent","events":[{"class_name":"GaussianDpEvent","noise_multiplier":3},
           {"class_name":"NoOpDpEvent"}]})",
       {Composed{{Event{Gaussian{3}}, Event{PostProcessing{}}}}}},
      {R"({"class_name":"PoissonSampledDpEvent","sampling_probability":0.25,"event":{"class_name":"GaussianDpEvent","noise_multiplier":3}})",
       {PoissonSampledGaussian{3, 0.25}}},
      {R"({"class_name":"PoissonSampledDpEvent","sampling_probability":0.25,"event":{"class_name":"LaplaceDpEvent","noise_multiplier":3}})",
       {PoissonSampled{0.25, Event{Laplace{3}}}}},
      {R"({"class_name":"SampledWithoutReplacementDpEvent","source_dataset_size":100,"sample_size":5,"event":{"class_name":"GaussianDpEvent","noise_multiplier":3}})",
       {FixedSizeSampled{5, 100, false, Event{Gaussian{3}}}}},
      {R"({"class_name":"SampledWithReplacementDpEvent","source_dataset_size":100,"sample_size":5,"event":{"class_name":"GaussianDpEvent","noise_multiplier":3}})",
       {FixedSizeSampled{5, 100, true, Event{Gaussian{3}}}}},
      {R"({"class_name":"SingleEpochTreeAggregationDpEvent","noise_multiplier":3,"step_counts":[7,100,12]})",
       {TreeAggregation{3, 100}}},
      {R"({"class_name":"MixtureOfGaussiansDpEvent","standard_deviation":2,"sensitivities":[1,0],"sampling_probs":[0.1,0.9]})",
       {MixtureOfGaussians{2, {0, 1}, {0.9, 0.1}}}},
      {R"({"class_name":"RepeatAndSelectDpEvent","mean":2,"shape":1,"event":{"class_name":"NoOpDpEvent"}})",
       {Unsupported{"RepeatAndSelectDpEvent"}}},
      {R"({"class_name":"RandomizedResponseDpEvent","noise_parameter":0.5,"num_buckets":1})", {PostProcessing{}}},
      {R"({"class_name":"RandomizedResponseDpEvent","noise_parameter":0,"num_buckets":2})", {NonPrivate{}}},
  };
  for (const auto& each : cases) EXPECT_EQ(one(each.text), each.event) << each.text;
}

TEST(DpEvent, IsRoundedTowardsMoreSpent) {
  // Of three buckets at p = 0.3 the truth has probability 0.8, each other 0.1: e^ε = 8.
  const Event response = one(R"({"class_name":"RandomizedResponseDpEvent","noise_parameter":0.3,"num_buckets":3})");
  const auto& found = std::get<RandomizedResponse>(response.mechanism);
  EXPECT_GE(found.epsilon, 2.0794415416798357);  // log 8
  EXPECT_NEAR(found.epsilon, 2.0794415416798357, 1e-14);
  EXPECT_EQ(found.categories, 3);
  const Event laplace = one(R"({"class_name":"DiscreteLaplaceDpEvent","noise_parameter":0.3,"sensitivity":2})");
  const auto& geometric = std::get<DiscreteLaplace>(laplace.mechanism);
  EXPECT_LE(std::fma(geometric.scale, 0.3, -1), 0) << "more noise than there is";
  EXPECT_NEAR(geometric.scale * 0.3, 1, 1e-15);
  EXPECT_EQ(geometric.sensitivity, 2);
}

TEST(EventList, SaysWhatIsWrongAndWhere) {
  const std::string deep = [] {
    std::string text, end;
    for (int i = 0; i < 100'000; ++i) text += R"({"class_name":"SelfComposedDpEvent","count":1,"event":)", end += "}";
    return text + R"({"class_name":"NoOpDpEvent"})" + end;
  }();
  const struct {
    std::string text;
    const char* part;
  } cases[] = {
      {"", "empty"},
      {"  \n", "empty"},
      {"{", "not JSON"},
      {"[]", "nothing is composed"},
      {R"({"mechanism":"gaussian","noise_multiplier":1,"noise_multiplier":50})", "\"noise_multiplier\" twice"},
      {R"([{"event":{"mechanism":"gaussian","noise_multiplier":1},"count":1000,"count":1}])", "\"count\" twice"},
      {R"({"class_name":"GaussianDpEvent","noise_multiplier":1,"noise_multiplier":50})", "twice"},
      {"3", "not an event"},
      {R"([{"mechanism":"gaussian","noise_multiplier":1},{"mechanism":"gaussian"}])", "item 2 of 2"},
      {R"([{"mechanism":"gaussian","noise_multiplier":-1}])", "noise_multiplier"},
      {R"({"event":{"mechanism":"gaussian","noise_multiplier":1}})", "\"count\" is missing"},
      {R"({"event":{"mechanism":"gaussian","noise_multiplier":1},"count":-1})", "whole number from 0 to 2^53, got -1"},
      {R"({"event":{"mechanism":"gaussian","noise_multiplier":1},"count":1.5})", "1.5"},
      {R"({"event":{"mechanism":"gaussian","noise_multiplier":1},"count":1,"times":2})", "unknown key \"times\""},
      {R"({"class_name":"GausianDpEvent","noise_multiplier":1})", "did you mean GaussianDpEvent"},
      {R"({"class_name":"GaussianDpEvent"})", "GaussianDpEvent lacks \"noise_multiplier\""},
      {R"({"class_name":"GaussianDpEvent","noise_multiplier":1,"sigma":1})", "has no field \"sigma\""},
      {R"({"class_name":"GaussianDpEvent","noise_multiplier":"1"})", "must be a number, got \"1\""},
      {R"({"class_name":"SelfComposedDpEvent","count":0,"event":{"class_name":"NoOpDpEvent"}})",
       "from 1 to 2^53, got 0"},
      {R"({"class_name":"PoissonSampledDpEvent","sampling_probability":1.5,"event":{"class_name":"NoOpDpEvent"}})",
       "between 0 and 1, got 1.5"},
      {R"({"class_name":"MixtureOfGaussiansDpEvent","standard_deviation":2,"sensitivities":[1,0],"sampling_probs":[1]})",
       "2 sensitivities, but 1"},
      {deep, "16 deep"},
  };
  for (const auto& each : cases) try {
      event_list_from_json(each.text);
      ADD_FAILURE() << each.text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(each.part), std::string::npos)
          << each.text.substr(0, 200) << ": " << error.what();
    }
}

TEST(OpacusHistory, IsAListOfNoiseRateAndSteps) {
  for (const char* text :
       {"[[1.1,0.01,1000],[2,0.5,3]]", R"({"history":[[1.1,0.01,1000],[2,0.5,3]],"mechanism":"rdp"})"}) {
    const EventList events = opacus_history_from_json(text);
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[0].event, (Event{PoissonSampledGaussian{1.1, 0.01}}));
    EXPECT_EQ(events[0].count, 1000);
    EXPECT_EQ(events[1].count, 3);
  }
  for (const char* text : {"", "[]", "{}", "[[1,2]]", "[[1,0.1,1.5]]", "[[1,2,3]]", "[1,0.1,1]", "[[1,0.1,-1]]"})
    EXPECT_THROW(opacus_history_from_json(text), Error) << text;
}

TEST(EventList, CostsWhatItsEventsCostTogether) {
  const auto whole = make_fixed_schedule_accountant("rdp", NeighbouringRelation::add_remove);
  const EventList events{{{Gaussian{2}}, 3}, {{Gaussian{4}}, 1}};
  EXPECT_TRUE(supports(*whole, events));
  compose(*whole, events);
  const auto alone = make_fixed_schedule_accountant("rdp", NeighbouringRelation::add_remove);
  alone->compose({Gaussian{1 / std::sqrt(3.0 / 4 + 1.0 / 16)}});  // precisions add up
  EXPECT_NEAR(whole->epsilon(1e-5), alone->epsilon(1e-5), 1e-9);
  EXPECT_FALSE(supports(*whole, {{{Gaussian{2}}, 1}, {{Unsupported{"x"}}, 1}}));
}

}  // namespace
}  // namespace sotto::accountants

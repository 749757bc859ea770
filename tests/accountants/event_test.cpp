#include "accountants/event.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

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

TEST(Event, JsonIsCanonical) {
  EXPECT_EQ(to_json(Event{PoissonSampledGaussian{1.5, 0.01}}),
            R"({"mechanism":"poisson_sampled_gaussian","noise_multiplier":1.5,"sample_rate":0.01})");
  EXPECT_EQ(to_json(Event{Gaussian{2}}), R"({"mechanism":"gaussian","noise_multiplier":2.0})");
  EXPECT_EQ(to_json(Event{PoissonSampledDiscreteGaussian{1.5, 0.01}}),
            R"({"mechanism":"poisson_sampled_discrete_gaussian","noise_multiplier":1.5,"sample_rate":0.01})");
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
  };
  for (const auto& each : cases) {
    EXPECT_NE(message_of([&] { validate(each.event); }, ErrorKind::configuration).find(each.part), std::string::npos)
        << each.part;
    message_of([&] { to_json(each.event); }, ErrorKind::configuration);
  }
}

TEST(Event, WhatIsNotExactlyAnEventIsRefused) {
  for (const char* text :
       {"", "{}", "[]", "null", "{\"mechanism\":3}", R"({"mechanism":"laplace","b":1})", R"({"mechanism":"gaussian"})",
        R"({"mechanism":"gaussian","noise_multiplier":"1"})", R"({"mechanism":"gaussian","noise_multiplier":null})",
        R"({"mechanism":"gaussian","noise_multiplier":1,"sample_rate":0.5})",
        R"({"mechanism":"gaussian","noise_multiplier":-1})",
        R"({"mechanism":"poisson_sampled_gaussian","noise_multiplier":1,"sample_rate":2})",
        R"({"mechanism":"discrete_gaussian","noise_multiplier":1,"sample_rate":0.5})",
        R"({"mechanism":"poisson_sampled_discrete_gaussian","noise_multiplier":1})",
        R"({"mechanism":"poisson_sampled_discrete_gaussian","noise_multiplier":1,"sample_rate":2})"})
    EXPECT_FALSE(message_of([&] { event_from_json(text); }, ErrorKind::data).empty()) << text;
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

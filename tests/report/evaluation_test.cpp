#include "report/evaluation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <set>

#include "tests/report/fixture.h"

namespace sotto::report {
namespace {

struct Sample {
  std::vector<double> probabilities;
  std::vector<uint8_t> labels;
};

// `levels` distinct scores: few make many ties.
Sample draw(int64_t count, int levels, uint64_t seed) {
  std::mt19937_64 random(seed);
  Sample out;
  for (int64_t i = 0; i < count; ++i) {
    const int level = int(random() % uint64_t(levels));
    out.probabilities.push_back((level + 0.5) / levels);
    out.labels.push_back(random() % uint64_t(levels + 3) < uint64_t(level + 1));
  }
  out.labels.front() = 0;
  out.labels.back() = 1;
  return out;
}

double wins(double a, double b) {
  return a > b ? 1 : a == b ? 0.5 : 0;
}

// Every quantity by its definition, pair by pair.
struct Oracle {
  double auc, half_width, average_precision, log_loss, brier;
};

Oracle oracle(const Sample& s) {
  std::vector<double> positive, negative;
  for (size_t i = 0; i < s.labels.size(); ++i) (s.labels[i] ? positive : negative).push_back(s.probabilities[i]);
  const double m = double(positive.size()), n = double(negative.size());
  Oracle out{};
  for (const double p : positive) {
    for (const double q : negative) out.auc += wins(p, q) / (m * n);
  }
  double s10 = 0, s01 = 0;
  for (const double p : positive) {
    double mean = 0;
    for (const double q : negative) mean += wins(p, q) / n;
    s10 += (mean - out.auc) * (mean - out.auc) / (m - 1);
  }
  for (const double q : negative) {
    double mean = 0;
    for (const double p : positive) mean += wins(p, q) / m;
    s01 += (mean - out.auc) * (mean - out.auc) / (n - 1);
  }
  out.half_width = 1.959963984540054 * std::sqrt(s10 / m + s01 / n);
  const std::set<double, std::greater<>> thresholds(s.probabilities.begin(), s.probabilities.end());
  double recall_before = 0;
  for (const double t : thresholds) {
    double hits = 0, called = 0;
    for (size_t i = 0; i < s.labels.size(); ++i) {
      if (s.probabilities[i] < t) continue;
      called += 1;
      hits += s.labels[i];
    }
    out.average_precision += (hits / m - recall_before) * hits / called;
    recall_before = hits / m;
  }
  for (size_t i = 0; i < s.labels.size(); ++i) {
    const double p = s.probabilities[i];
    out.log_loss -= std::log(s.labels[i] ? p : 1 - p) / (m + n);
    out.brier += (p - s.labels[i]) * (p - s.labels[i]) / (m + n);
  }
  return out;
}

TEST(Evaluation, EqualsItsDefinitionsWithAndWithoutTies) {
  for (const int levels : {1, 2, 3, 10, 1000000}) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      const Sample sample = draw(seed == 1 ? 8 : 301, levels, seed);
      const Evaluation got = evaluate(sample.probabilities, sample.labels);
      const Oracle want = oracle(sample);
      // 300 terms each rounded to 1e-16.
      EXPECT_NEAR(got.auc, want.auc, 1e-12);
      EXPECT_NEAR(got.average_precision, want.average_precision, 1e-12);
      EXPECT_NEAR(got.log_loss, want.log_loss, 1e-12);
      EXPECT_NEAR(got.brier, want.brier, 1e-12);
      EXPECT_NEAR(got.auc_interval.low, std::max(0.0, want.auc - want.half_width), 1e-12);
      EXPECT_NEAR(got.auc_interval.high, std::min(1.0, want.auc + want.half_width), 1e-12);
    }
  }
}

TEST(Evaluation, IntervalHoldsTheTruthAboutNineteenTimesInTwenty) {
  const double shift = 0.6, truth = 0.5 * std::erfc(-shift / 2);  // two unit normals, shift apart: Φ(shift/√2)
  int inside = 0;
  const int trials = 1000;
  for (int i = 0; i < trials; ++i) {
    const Interval interval = fixture_evaluation(1100, shift, 100 + uint64_t(i)).auc_interval;
    inside += interval.low <= truth && truth <= interval.high;
  }
  // Binomial: sd 0.7 %; DeLong itself is a little off at 100 positives. 4 sd and 1 %.
  EXPECT_NEAR(double(inside) / trials, 0.95, 0.038);
}

TEST(Evaluation, PerfectAndReversedAndConstantScores) {
  const std::vector<uint8_t> labels{0, 0, 1, 1};
  EXPECT_EQ(evaluate(std::vector{0.1, 0.2, 0.8, 0.9}, labels).auc, 1);
  EXPECT_EQ(evaluate(std::vector{0.9, 0.8, 0.2, 0.1}, labels).auc, 0);
  const Evaluation constant = evaluate(std::vector(4, 0.5), labels);
  EXPECT_EQ(constant.auc, 0.5);
  EXPECT_EQ(constant.roc.true_positive_rate, (std::vector<double>{0, 1}));
  EXPECT_EQ(constant.calibration.count, std::vector<int64_t>{4});
}

TEST(Evaluation, CertainAndWrongStaysFinite) {
  const Evaluation e = evaluate(std::vector{1.0, 0.0, 1.0}, std::vector<uint8_t>{0, 1, 1});
  EXPECT_NEAR(e.log_loss, 2.0 / 3 * 52 * std::log(2.0), 1e-9);
  EXPECT_NEAR(e.brier, 2.0 / 3, 1e-15);
}

TEST(Evaluation, OneSampleOfAClassSaysNothingOfTheSpread) {
  const Interval interval = evaluate(std::vector{0.1, 0.2, 0.9}, std::vector<uint8_t>{0, 0, 1}).auc_interval;
  EXPECT_EQ(interval.low, 0);
  EXPECT_EQ(interval.high, 1);
}

TEST(Evaluation, ThinnedRocLiesOnTheCurveAndKeepsItsArea) {
  const Sample sample = draw(20000, 1000000, 9);
  const Evaluation e = evaluate(sample.probabilities, sample.labels);
  const auto& [x, y] = e.roc;
  ASSERT_LE(x.size(), 400u);
  ASSERT_GE(x.size(), 300u);
  EXPECT_EQ(x.front(), 0);
  EXPECT_EQ(y.front(), 0);
  EXPECT_EQ(x.back(), 1);
  EXPECT_EQ(y.back(), 1);
  std::set<std::pair<double, double>> curve{{0, 0}};
  std::vector<size_t> order(sample.labels.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return sample.probabilities[a] > sample.probabilities[b]; });
  const double m = double(e.positives), n = double(e.count - e.positives);
  double hits = 0, alarms = 0, area = 0;
  for (const size_t i : order) {
    (sample.labels[i] ? hits : alarms) += 1;
    curve.emplace(alarms / n, hits / m);
  }
  for (size_t i = 0; i < x.size(); ++i) EXPECT_TRUE(curve.contains({x[i], y[i]})) << x[i] << " " << y[i];
  for (size_t i = 1; i < x.size(); ++i) {
    EXPECT_GE(x[i], x[i - 1]);
    EXPECT_GE(y[i], y[i - 1]);
    area += (x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2;
  }
  // A chord over a stretch of length 2/398 misses at most (1/398)²/2 of area, 400 times.
  EXPECT_NEAR(area, e.auc, 400 * 0.5 / (398.0 * 398.0));
}

TEST(Evaluation, CalibrationBinsAreEqualAndKeepTiesTogether) {
  const Sample sample = draw(1000, 1000000, 5);
  const Evaluation e = evaluate(sample.probabilities, sample.labels);
  EXPECT_EQ(e.calibration.count, std::vector<int64_t>(10, 100));
  double records = 0, predicted = 0, observed = 0;
  for (size_t i = 0; i < 10; ++i) {
    records += double(e.calibration.count[i]);
    predicted += e.calibration.predicted[i] * double(e.calibration.count[i]);
    observed += e.calibration.observed[i] * double(e.calibration.count[i]);
  }
  EXPECT_EQ(records, 1000);
  EXPECT_TRUE(std::is_sorted(e.calibration.predicted.begin(), e.calibration.predicted.end()));
  EXPECT_NEAR(observed, double(e.positives), 1e-9);
  EXPECT_NEAR(predicted, std::accumulate(sample.probabilities.begin(), sample.probabilities.end(), 0.0), 1e-9);
  // Three scores in ten bins: each score whole in one bin.
  const Sample tied = draw(1000, 3, 5);
  const Evaluation few = evaluate(tied.probabilities, tied.labels);
  ASSERT_EQ(few.calibration.count.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(few.calibration.predicted[i], (double(i) + 0.5) / 3, 1e-12);
    EXPECT_EQ(few.calibration.count[i],
              std::count(tied.probabilities.begin(), tied.probabilities.end(), (double(i) + 0.5) / 3));
  }
}

TEST(Evaluation, WhatCannotBeScoredIsRefused) {
  const std::vector<uint8_t> both{0, 1};
  EXPECT_NE(message_of([&] { evaluate(std::vector{0.5}, both); }, ErrorKind::invalid_argument).find("2 labels"),
            std::string::npos);
  EXPECT_NE(message_of(
                [&] {
                  evaluate(std::vector{0.5, 0.5}, std::vector<uint8_t>{0, 2});
                },
                ErrorKind::invalid_argument)
                .find("label 1 is 2"),
            std::string::npos);
  for (const double bad : {-0.1, 1.1, std::nan(""), HUGE_VAL}) {
    EXPECT_NE(message_of([&] { evaluate(std::vector{0.5, bad}, both); }).find("probability 1"), std::string::npos);
  }
  EXPECT_NE(message_of([&] {
              evaluate(std::vector{0.5, 0.5}, std::vector<uint8_t>{1, 1});
            }).find("both classes"),
            std::string::npos);
  EXPECT_NE(message_of([&] { evaluate({}, {}); }).find("both classes"), std::string::npos);
}

TEST(Evaluation, SurvivesTheFileToTheLastBit) {
  const auto path = test_folder() / "evaluation.json";
  const Evaluations before{fixture_evaluation(500, 0.5, 1), fixture_evaluation(500, 0.7, 2)};
  write_evaluations(path, before);
  EXPECT_EQ(to_json(read_evaluations(path)).dump(), to_json(before).dump());
  const Json json = read_object(path);
  for (const char* side : {"private", "baseline"}) {
    for (const char* name : {"auc", "auc_interval", "average_precision", "log_loss", "brier", "roc", "calibration"}) {
      EXPECT_TRUE(json[side].contains(name)) << side << "." << name;
    }
  }
  Json uneven = json;
  uneven["private"]["roc"]["true_positive_rate"].push_back(1);
  EXPECT_NE(message_of([&] { evaluations_from_json(uneven, "e.json"); }).find("private.roc.true_positive_rate"),
            std::string::npos);
}

}  // namespace
}  // namespace sotto::report

#include "report/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace sotto::report {
namespace {

constexpr size_t kRocPoints = 400;  // beyond it a screen shows no difference and the page only grows
constexpr int64_t kBins = 10;

// The samples of one distinct score.
struct Group {
  double score;
  int64_t positives, negatives;
};

// Ascending by score.
std::vector<Group> group_by_score(std::span<const double> scores, std::span<const uint8_t> labels) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  std::vector<Group> groups;
  for (const size_t i : order) {
    if (groups.empty() || groups.back().score != scores[i]) groups.push_back({scores[i], 0, 0});
    (labels[i] == 1 ? groups.back().positives : groups.back().negatives) += 1;
  }
  return groups;
}

// Mean and DeLong variance in one walk. A positive's component is the share of negatives below it (ties count half), a
// negative's the share of positives above it.
void fill_auc(const std::vector<Group>& groups, Evaluation& out) {
  const auto m = double(out.positives), n = double(out.count - out.positives);
  double below_negatives = 0, below_positives = 0, sum = 0;
  for (const Group& g : groups) {
    sum += double(g.positives) * (below_negatives + 0.5 * double(g.negatives));
    below_negatives += double(g.negatives);
  }
  out.auc = sum / (m * n);
  if (m < 2 || n < 2) return;
  double spread_positives = 0, spread_negatives = 0;
  below_negatives = 0;
  for (const Group& g : groups) {
    const double of_positive = (below_negatives + 0.5 * double(g.negatives)) / n - out.auc;
    const double of_negative = (m - below_positives - 0.5 * double(g.positives)) / m - out.auc;
    spread_positives += double(g.positives) * of_positive * of_positive;
    spread_negatives += double(g.negatives) * of_negative * of_negative;
    below_negatives += double(g.negatives);
    below_positives += double(g.positives);
  }
  const double error = std::sqrt(spread_positives / (m - 1) / m + spread_negatives / (n - 1) / n);
  const double half = 1.959963984540054 * error;  // the normal law's 97.5 % point
  out.auc_interval = {std::max(0.0, out.auc - half), std::min(1.0, out.auc + half)};
}

void fill_roc(const std::vector<Group>& groups, Evaluation& out) {
  const auto m = double(out.positives), n = double(out.count - out.positives);
  std::vector<std::pair<int64_t, int64_t>> points{{0, 0}};  // negatives and positives called positive
  for (auto g = groups.rbegin(); g != groups.rend(); ++g) {
    const std::pair next{points.back().first + g->negatives, points.back().second + g->positives};
    if (points.size() > 1) {
      const auto& [x1, y1] = points.back();
      const auto& [x0, y0] = points[points.size() - 2];
      // In the middle of a straight stretch: the line is the same without it.
      if ((x1 - x0) * (next.second - y1) == (y1 - y0) * (next.first - x1)) points.pop_back();
    }
    points.push_back(next);
  }
  // Thinned evenly along x + y, which climbs from 0 to 2, so that steep and flat parts keep their shape alike.
  double taken = -1;
  for (size_t i = 0; i < points.size(); ++i) {
    const double x = double(points[i].first) / n, y = double(points[i].second) / m;
    const bool end = i == 0 || i + 1 == points.size();
    if (points.size() > kRocPoints && !end && x + y < taken + 2.0 / double(kRocPoints - 2)) continue;
    taken = x + y;
    out.roc.false_positive_rate.push_back(x);
    out.roc.true_positive_rate.push_back(y);
  }
}

void fill_calibration(const std::vector<Group>& groups, Evaluation& out) {
  int64_t seen = 0, bin = -1;
  double predicted = 0, positives = 0;
  int64_t count = 0;
  const auto close = [&] {
    if (count == 0) return;
    out.calibration.predicted.push_back(predicted / double(count));
    out.calibration.observed.push_back(positives / double(count));
    out.calibration.count.push_back(count);
    predicted = positives = 0;
    count = 0;
  };
  for (const Group& g : groups) {
    const int64_t size = g.positives + g.negatives, here = (seen + size / 2) * kBins / out.count;
    if (here != bin) close();
    bin = here;
    predicted += g.score * double(size);
    positives += double(g.positives);
    count += size;
    seen += size;
  }
  close();
}

void fill_losses(const std::vector<Group>& groups, Evaluation& out) {
  const double floor = std::numeric_limits<double>::epsilon();
  double log_loss = 0, brier = 0, precision_sum = 0, called = 0, hits = 0;
  for (auto g = groups.rbegin(); g != groups.rend(); ++g) {
    const double p = g->score, positives = double(g->positives), negatives = double(g->negatives);
    log_loss -= positives * std::log(std::max(p, floor)) + negatives * std::log(std::max(1 - p, floor));
    brier += positives * (1 - p) * (1 - p) + negatives * p * p;
    called += positives + negatives;
    hits += positives;
    precision_sum += positives * hits / called;
  }
  out.log_loss = log_loss / double(out.count);
  out.brier = brier / double(out.count);
  out.average_precision = precision_sum / double(out.positives);
}

}  // namespace

Evaluation evaluate(std::span<const double> probabilities, std::span<const uint8_t> labels) {
  require(probabilities.size() == labels.size(),
          cat("need a label a probability: ", labels.size(), " labels for ", probabilities.size(), " probabilities"));
  Evaluation out;
  out.count = static_cast<int64_t>(labels.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    require(labels[i] <= 1, cat("label ", i, " is ", int{labels[i]}, "; labels are 0 or 1"));
    if (!(probabilities[i] >= 0 && probabilities[i] <= 1)) {
      throw Error(ErrorKind::data, cat("probability ", i, " is ", probabilities[i], ", outside [0, 1]"));
    }
    out.positives += labels[i];
  }
  if (out.positives == 0 || out.positives == out.count) {
    throw Error(ErrorKind::data,
                cat("an evaluation needs both classes: ", out.positives, " positives among ", out.count, " samples"));
  }
  const std::vector<Group> groups = group_by_score(probabilities, labels);
  fill_auc(groups, out);
  fill_roc(groups, out);
  fill_calibration(groups, out);
  fill_losses(groups, out);
  return out;
}

}  // namespace sotto::report

#include <algorithm>
#include <cmath>

#include "accountants/event/fields.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

constexpr int64_t kMostCount = int64_t{1} << 53;

void check(bool ok, const std::string& message) {
  if (!ok) throw Error(ErrorKind::configuration, message);
}

void check_value(const char* key, Limit limit, double value) {
  switch (limit) {
    case Limit::at_least_0:
      return check(std::isfinite(value) && value >= 0, cat(key, " must be finite and at least 0, got ", value));
    case Limit::above_0:
      return check(std::isfinite(value) && value > 0, cat(key, " must be finite and above 0, got ", value));
    case Limit::probability:
      return check(value >= 0 && value <= 1, cat(key, " must be between 0 and 1, got ", value));
    default:
      throw Error(ErrorKind::internal, cat(key, " has no limit for a real number"));
  }
}

void check_value(const char* key, Limit limit, int64_t value) {
  const int64_t least = limit == Limit::count_from_0 ? 0 : limit == Limit::count_from_1 ? 1 : 2;
  check(value >= least && value <= kMostCount, cat(key, " must be between ", least, " and 2^53, got ", value));
}

void check_value(const char* key, Limit limit, const std::vector<double>& values) {
  for (const double value : values) check_value(key, limit, value);
}

void check_value(const char* key, Limit limit, const std::vector<std::vector<double>>& rows) {
  for (const auto& row : rows) check_value(key, limit, row);
}

void check_value(const char* key, Limit, const std::string& value) {
  const bool printable = std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
  check(printable && !value.empty() && value.size() <= 200,
        cat(key, " must be 1 to 200 printable ASCII characters, got ", value.size()));
}

void check_value(const char*, Limit, bool) {}
void check_value(const char*, Limit, const Nested& event) {
  validate(*event);
}
void check_value(const char*, Limit, const std::vector<Nested>& events) {
  for (const Nested& event : events) validate(*event);
}

// What no single field can break.
template <class Mechanism>
void check_together(const Mechanism&) {}

void check_together(const Skellam& e) {
  check(e.l2_sensitivity <= e.l1_sensitivity,
        cat("l2_sensitivity must be at most l1_sensitivity, got ", e.l2_sensitivity, " above ", e.l1_sensitivity));
}

void check_together(const LocalChannel& e) {
  constexpr size_t kMostInputs = 64, kMostOutputs = 256;
  check(e.table.size() >= 2 && e.table.size() <= kMostInputs,
        cat("a channel needs 2 to ", kMostInputs, " rows, one an input, got ", e.table.size()));
  const size_t outputs = e.table.front().size();
  check(outputs >= 2 && outputs <= kMostOutputs,
        cat("a channel's rows need 2 to ", kMostOutputs, " entries, one an output, got ", outputs));
  for (const auto& row : e.table) {
    check(row.size() == outputs, cat("a channel's rows need as many entries each, got ", row.size(), " and ", outputs));
    double sum = 0;
    for (const double probability : row) sum += probability;
    check(std::abs(sum - 1) <= 1e-12, cat("each row of a channel must sum to 1, got ", sum));
  }
}

void check_together(const MixtureOfGaussians& e) {
  check(!e.sensitivities.empty() && e.sensitivities.size() == e.probabilities.size(),
        cat("a mixture needs a probability for each sensitivity, got ", e.probabilities.size(), " for ",
            e.sensitivities.size()));
  check(std::adjacent_find(e.sensitivities.begin(), e.sensitivities.end(), std::greater_equal<>()) ==
            e.sensitivities.end(),
        "sensitivities must ascend, each once; add the probabilities of equal ones");
  double sum = 0;
  for (const double probability : e.probabilities) sum += probability;
  check(std::abs(sum - 1) <= 1e-12, cat("probabilities must sum to 1, got ", sum));
}

void check_together(const BandedMatrixFactorisation& e) {
  check(e.sample_rate * static_cast<double>(e.bands) <= 1,
        cat("bands · sample_rate is the rate within a group and at most 1, got ",
            e.sample_rate * static_cast<double>(e.bands)));
}

void check_together(const PoissonSampled& e) {
  const auto refuse = [&]<class... Refused>(std::tuple<Refused...>*) {
    check(!(std::holds_alternative<Refused>(e.event->mechanism) || ...),
          cat("poisson_sampled of ", to_json(*e.event),
              " has an event of its own: poisson_sampled_gaussian for a gaussian, one rate, the product, for two"));
  };
  refuse(static_cast<std::tuple<Gaussian, PoissonSampledGaussian, PoissonSampledDiscreteGaussian,
                                PoissonSampledLatticeGaussian, PoissonSampled>*>(nullptr));
}

void check_together(const FixedSizeSampled& e) {
  check(e.with_replacement || e.batch_size <= e.population_size,
        cat("batch_size must be at most population_size without replacement, got ", e.batch_size, " of ",
            e.population_size));
}

void check_together(const RandomAllocation& e) {
  check(e.selected <= e.steps, cat("selected must be at most steps, got ", e.selected, " of ", e.steps));
}

}  // namespace

void validate(const Event& event) {
  std::visit(
      [](const auto& mechanism) {
        for_each_field(mechanism,
                       [](const auto& field, const auto& value) { check_value(field.key, field.limit, value); });
        check_together(mechanism);
      },
      event.mechanism);
}

}  // namespace sotto::accountants

#pragma once
#include <string>
#include <string_view>
#include <variant>

#include "accountants/event/composed.h"
#include "accountants/event/mechanisms.h"
#include "accountants/event/relation.h"
#include "accountants/event/sampled.h"

namespace sotto::accountants {

// One use of a mechanism, described completely: an accountant needs nothing else. A composition is a list of (event,
// count). What an event means never changes: ledgers keep them.
struct Event {
  std::variant<PoissonSampledGaussian, Gaussian, PoissonSampledDiscreteGaussian, PoissonSampledLatticeGaussian, Laplace,
               DiscreteLaplace, DiscreteGaussian, Skellam, TruncatedLaplace, Staircase, RandomizedResponse,
               LocalChannel, EpsilonDelta, ExponentialMechanism, ReportNoisyMax, SparseVector, MixtureOfGaussians,
               TreeAggregation, BandedMatrixFactorisation, PoissonSampled, FixedSizeSampled, Shuffled, RandomAllocation,
               SelfComposed, Composed, PostProcessing, NonPrivate, Unsupported>
      mechanism;
  bool operator==(const Event&) const = default;
};

// Throws configuration, naming value and limit, unless every field of the event and of those within it is in range:
// numbers finite and at least 0, rates and probabilities in [0, 1], counts at most 2^53, and what their comments say.
void validate(const Event& event);

// Canonical JSON: {"mechanism": …} and the fields by their names, an event within it likewise; sorted keys, no blanks,
// doubles in their shortest text that reads back to the same bits. to_json validates; event_from_json throws data on an
// unknown mechanism, an unknown, missing or doubled key, an invalid value, or deeper nesting than events may have.
std::string to_json(const Event& event);
Event event_from_json(std::string_view text);

// The event on a batch that every unit joins independently with probability sample_rate, said in the one way there is
// for it: a Gaussian becomes a PoissonSampledGaussian; a batch drawn from a batch has the product of the rates, rounded
// up.
Event poisson_sampled(double sample_rate, const Event& event);

}  // namespace sotto::accountants

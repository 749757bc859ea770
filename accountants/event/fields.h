#pragma once
#include <tuple>

#include "accountants/event.h"

namespace sotto::accountants {

// What a number may be. Counts are at most 2^53, which JSON readers that know only doubles still tell apart.
enum class Limit { at_least_0, above_0, probability, count_from_0, count_from_1, count_from_2, none };

template <class Mechanism, class Value>
struct Field {
  const char* key;
  Value Mechanism::*member;
  Limit limit = Limit::none;
};

// Name and fields of every mechanism, in the order of its members: from this list events are checked, written and read.
template <class Mechanism>
struct Description;

#define SOTTO_EVENT(Mechanism, text, ...)                   \
  template <>                                               \
  struct Description<Mechanism> {                           \
    using M = Mechanism;                                    \
    static constexpr const char* name = text;               \
    static constexpr auto fields = std::tuple{__VA_ARGS__}; \
  };
#define SOTTO_FIELD(member, limit)    \
  Field {                             \
#member, &M::member, Limit::limit \
  }

SOTTO_EVENT(Gaussian, "gaussian", SOTTO_FIELD(noise_multiplier, at_least_0))
SOTTO_EVENT(Laplace, "laplace", SOTTO_FIELD(noise_multiplier, at_least_0))
SOTTO_EVENT(DiscreteLaplace, "discrete_laplace", SOTTO_FIELD(scale, at_least_0), SOTTO_FIELD(sensitivity, count_from_1))
SOTTO_EVENT(DiscreteGaussian, "discrete_gaussian", SOTTO_FIELD(sigma, at_least_0),
            SOTTO_FIELD(sensitivity, count_from_1))
SOTTO_EVENT(Skellam, "skellam", SOTTO_FIELD(variance, at_least_0), SOTTO_FIELD(l1_sensitivity, above_0),
            SOTTO_FIELD(l2_sensitivity, above_0))
SOTTO_EVENT(TruncatedLaplace, "truncated_laplace", SOTTO_FIELD(noise_multiplier, at_least_0),
            SOTTO_FIELD(bound_multiplier, above_0))
SOTTO_EVENT(Staircase, "staircase", SOTTO_FIELD(epsilon, above_0), SOTTO_FIELD(step_fraction, probability))
SOTTO_EVENT(RandomizedResponse, "randomized_response", SOTTO_FIELD(epsilon, at_least_0),
            SOTTO_FIELD(categories, count_from_2))
SOTTO_EVENT(LocalChannel, "local_channel", SOTTO_FIELD(table, probability))
SOTTO_EVENT(EpsilonDelta, "epsilon_delta", SOTTO_FIELD(epsilon, at_least_0), SOTTO_FIELD(delta, probability))
SOTTO_EVENT(ExponentialMechanism, "exponential_mechanism", SOTTO_FIELD(epsilon, at_least_0),
            SOTTO_FIELD(monotone, none))
SOTTO_EVENT(ReportNoisyMax, "report_noisy_max", SOTTO_FIELD(noise_multiplier, at_least_0), SOTTO_FIELD(monotone, none))
SOTTO_EVENT(SparseVector, "sparse_vector", SOTTO_FIELD(threshold_noise_multiplier, at_least_0),
            SOTTO_FIELD(query_noise_multiplier, at_least_0), SOTTO_FIELD(most_above, count_from_1),
            SOTTO_FIELD(monotone, none))
SOTTO_EVENT(MixtureOfGaussians, "mixture_of_gaussians", SOTTO_FIELD(noise_multiplier, at_least_0),
            SOTTO_FIELD(sensitivities, at_least_0), SOTTO_FIELD(probabilities, probability))
SOTTO_EVENT(TreeAggregation, "tree_aggregation", SOTTO_FIELD(noise_multiplier, at_least_0),
            SOTTO_FIELD(steps, count_from_1))
SOTTO_EVENT(BandedMatrixFactorisation, "banded_matrix_factorisation", SOTTO_FIELD(noise_multiplier, at_least_0),
            SOTTO_FIELD(sample_rate, probability), SOTTO_FIELD(bands, count_from_1), SOTTO_FIELD(steps, count_from_1))
SOTTO_EVENT(PostProcessing, "post_processing")
SOTTO_EVENT(NonPrivate, "non_private")
SOTTO_EVENT(Unsupported, "unsupported", SOTTO_FIELD(description, none))
SOTTO_EVENT(PoissonSampledGaussian, "poisson_sampled_gaussian", SOTTO_FIELD(noise_multiplier, at_least_0),
            SOTTO_FIELD(sample_rate, probability))
SOTTO_EVENT(PoissonSampledDiscreteGaussian, "poisson_sampled_discrete_gaussian",
            SOTTO_FIELD(noise_multiplier, at_least_0), SOTTO_FIELD(sample_rate, probability))
SOTTO_EVENT(PoissonSampledLatticeGaussian, "poisson_sampled_lattice_gaussian",
            SOTTO_FIELD(noise_multiplier, at_least_0), SOTTO_FIELD(sample_rate, probability),
            SOTTO_FIELD(sigma, above_0))
SOTTO_EVENT(PoissonSampled, "poisson_sampled", SOTTO_FIELD(sample_rate, probability), SOTTO_FIELD(event, none))
SOTTO_EVENT(FixedSizeSampled, "fixed_size_sampled", SOTTO_FIELD(batch_size, count_from_1),
            SOTTO_FIELD(population_size, count_from_1), SOTTO_FIELD(with_replacement, none), SOTTO_FIELD(event, none))
SOTTO_EVENT(Shuffled, "shuffled", SOTTO_FIELD(reports, count_from_1), SOTTO_FIELD(event, none))
SOTTO_EVENT(RandomAllocation, "random_allocation", SOTTO_FIELD(steps, count_from_1),
            SOTTO_FIELD(selected, count_from_1), SOTTO_FIELD(event, none))
SOTTO_EVENT(SelfComposed, "self_composed", SOTTO_FIELD(event, none), SOTTO_FIELD(count, count_from_0))
SOTTO_EVENT(Composed, "composed", SOTTO_FIELD(events, none))

#undef SOTTO_EVENT
#undef SOTTO_FIELD

// Calls visit(field, value) for each field of the mechanism.
template <class Mechanism, class Visit>
void for_each_field(const Mechanism& mechanism, const Visit& visit) {
  std::apply([&](const auto&... field) { (visit(field, mechanism.*field.member), ...); },
             Description<Mechanism>::fields);
}

}  // namespace sotto::accountants

"""Privacy accounting by sotto's accountants, under the names that dp-accounting gives its own:

    from sotto import accounting as dp_accounting

Every number is computed by libsotto_accounting: nothing is computed here. docs/python.md says what differs.
"""
from . import dp_event, dp_event_builder, library, mechanism_calibration, pld, privacy_accountant, rdp
from .dp_event import (ComposedDpEvent, DiscreteLaplaceDpEvent, DpEvent, GaussianDpEvent, LaplaceDpEvent,
                       MixtureOfGaussiansDpEvent, NonPrivateDpEvent, NoOpDpEvent, PoissonSampledDpEvent,
                       RandomizedResponseDpEvent, RepeatAndSelectDpEvent, SampledWithoutReplacementDpEvent,
                       SampledWithReplacementDpEvent, SelfComposedDpEvent, SingleEpochTreeAggregationDpEvent,
                       TruncatedSubsampledGaussianDpEvent, UnsupportedDpEvent, ZCDpEvent)
from .dp_event_builder import DpEventBuilder
from .gaussian_mechanism import get_epsilon_gaussian, get_sigma_gaussian
from .mechanism_calibration import ExplicitBracketInterval, LowerEndpointAndGuess, calibrate_dp_mechanism
from .privacy_accountant import NeighboringRelation, PrivacyAccountant, UnsupportedEventError

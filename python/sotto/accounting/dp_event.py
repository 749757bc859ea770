"""Events: what was done to the data. Names, fields and meaning are those of dp-accounting 0.6.0."""
import dataclasses
from typing import List, Sequence, Union


@dataclasses.dataclass(frozen=True)
class DpEvent:
    """One use of a mechanism, described so that an accountant needs nothing else."""

    def to_json(self):
        """The event as sotto reads it: `sotto account --events` takes it from a file."""
        fields = {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return {"class_name": type(self).__name__, **fields}


def _plain(value):
    if isinstance(value, DpEvent):
        return value.to_json()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.item() if hasattr(value, "item") else value  # numpy's numbers


@dataclasses.dataclass(frozen=True)
class NoOpDpEvent(DpEvent):
    """Costs nothing."""


@dataclasses.dataclass(frozen=True)
class NonPrivateDpEvent(DpEvent):
    """Has no finite epsilon."""


@dataclasses.dataclass(frozen=True)
class UnsupportedDpEvent(DpEvent):
    """No accountant takes it."""


@dataclasses.dataclass(frozen=True)
class RandomizedResponseDpEvent(DpEvent):
    """One of num_buckets, replaced by one drawn uniformly with probability noise_parameter."""
    noise_parameter: float
    num_buckets: int


@dataclasses.dataclass(frozen=True)
class GaussianDpEvent(DpEvent):
    """noise_multiplier: standard deviation ÷ L2 sensitivity."""
    noise_multiplier: float


@dataclasses.dataclass(frozen=True)
class LaplaceDpEvent(DpEvent):
    """noise_multiplier: scale ÷ L1 sensitivity."""
    noise_multiplier: float


@dataclasses.dataclass(frozen=True)
class DiscreteLaplaceDpEvent(DpEvent):
    """P(x) ∝ exp(−noise_parameter · |x|) on the integers."""
    noise_parameter: float
    sensitivity: int


@dataclasses.dataclass(frozen=True)
class SelfComposedDpEvent(DpEvent):
    """`count` uses of the event."""
    event: DpEvent
    count: int


@dataclasses.dataclass(frozen=True)
class ComposedDpEvent(DpEvent):
    """One use of each."""
    events: List[DpEvent]


@dataclasses.dataclass(frozen=True)
class PoissonSampledDpEvent(DpEvent):
    """The event on a batch that each record joins independently."""
    sampling_probability: float
    event: DpEvent


@dataclasses.dataclass(frozen=True)
class SampledWithReplacementDpEvent(DpEvent):
    """The event on sample_size records drawn with replacement."""
    source_dataset_size: int
    sample_size: int
    event: DpEvent


@dataclasses.dataclass(frozen=True)
class SampledWithoutReplacementDpEvent(DpEvent):
    """The event on sample_size different records."""
    source_dataset_size: int
    sample_size: int
    event: DpEvent


@dataclasses.dataclass(frozen=True)
class SingleEpochTreeAggregationDpEvent(DpEvent):
    """Trees of step_counts steps; a record is in one step of one tree."""
    noise_multiplier: float
    step_counts: Union[int, List[int]]


@dataclasses.dataclass(frozen=True)
class RepeatAndSelectDpEvent(DpEvent):
    """The best of a random number of uses."""
    event: DpEvent
    mean: float
    shape: float


@dataclasses.dataclass(frozen=True)
class MixtureOfGaussiansDpEvent(DpEvent):
    """Σ p_i N(c_i, σ²) against N(0, σ²)."""
    standard_deviation: float
    sensitivities: Sequence[float]
    sampling_probs: Sequence[float]


@dataclasses.dataclass(frozen=True)
class ZCDpEvent(DpEvent):
    """(xi, rho)-zCDP."""
    rho: float
    xi: float = 0.0


@dataclasses.dataclass(frozen=True)
class TruncatedSubsampledGaussianDpEvent(DpEvent):
    """A Gaussian on a Poisson batch that is cut to truncated_batch_size."""
    dataset_size: int
    sampling_probability: float
    truncated_batch_size: int
    noise_multiplier: float

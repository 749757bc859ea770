"""A parameter for a budget."""
import dataclasses

from . import dp_event, library


class BracketInterval:
    """Where to look for a parameter."""


@dataclasses.dataclass(frozen=True)
class ExplicitBracketInterval(BracketInterval):
    endpoint_1: float
    endpoint_2: float


@dataclasses.dataclass(frozen=True)
class LowerEndpointAndGuess(BracketInterval):
    lower_endpoint: float
    initial_guess: float


class NoBracketIntervalFoundError(Exception):
    """Neither end of the interval, nor what lies beyond, is on the other side of the budget."""


class NonEmptyAccountantError(Exception):
    """make_fresh_accountant gave an accountant with something composed."""


def calibrate_dp_mechanism(make_fresh_accountant, make_event_from_param, target_epsilon, target_delta,
                           bracket_interval=None, discrete=False, tol=None):
    """The value of the parameter next to the budget whose epsilon is at most target_epsilon, always. It is within tol, or
    1e-4 of itself, of the best one, as far as the accountant can tell (1e-6 of epsilon for PLDAccountant)."""
    for name, function in (("make_fresh_accountant", make_fresh_accountant),
                           ("make_event_from_param", make_event_from_param)):
        if not callable(function):
            raise TypeError(f"{name} must be callable, got {type(function)}")
    accountant = make_fresh_accountant()
    if not isinstance(accountant.ledger, dp_event.NoOpDpEvent):
        raise NonEmptyAccountantError("make_fresh_accountant must give an accountant with nothing composed")
    interval = bracket_interval or LowerEndpointAndGuess(0, 1)
    if not isinstance(interval, (ExplicitBracketInterval, LowerEndpointAndGuess)):
        raise TypeError(f"unknown kind of bracket_interval: {type(interval)}")
    first, second = dataclasses.astuple(interval)

    def plan(value):
        return make_event_from_param(round(value) if discrete else value).to_json()

    try:
        found = library.calibrate(plan, **accountant.question(), epsilon=target_epsilon, delta=target_delta, first=first,
                                  second=second, explicit=isinstance(interval, ExplicitBracketInterval), whole=discrete,
                                  tolerance=tol)
    except ValueError as error:
        if "does not hold the answer" in str(error) and isinstance(interval, LowerEndpointAndGuess):
            raise NoBracketIntervalFoundError(str(error)) from None
        raise
    return round(found["value"]) if discrete else found["value"]

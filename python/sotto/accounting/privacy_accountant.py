"""What all accountants can do."""
import enum
import math
import warnings

from . import dp_event, dp_event_builder, library


class NeighboringRelation(enum.Enum):
    ADD_OR_REMOVE_ONE = 1
    REPLACE_ONE = 2
    REPLACE_SPECIAL = 3  # by a record without content


_RELATIONS = {NeighboringRelation.ADD_OR_REMOVE_ONE: "add_remove", NeighboringRelation.REPLACE_ONE: "replace_one",
              NeighboringRelation.REPLACE_SPECIAL: "zero_out"}


class UnsupportedEventError(Exception):
    """The accountant has no bound for an event."""


def _infinite(number):
    return math.inf if number is None else number


class PrivacyAccountant:
    """Keeps what was composed; every answer is asked of the library."""

    _name = None  # of sotto's accountant

    def __init__(self, neighboring_relation=NeighboringRelation.ADD_OR_REMOVE_ONE, relative_gap=1e-3):
        self._neighboring_relation = NeighboringRelation(neighboring_relation)
        self._relative_gap = relative_gap
        self._ledger = dp_event_builder.DpEventBuilder()

    @property
    def neighboring_relation(self):
        return self._neighboring_relation

    @property
    def ledger(self):
        """What was composed so far, as one event."""
        return self._ledger.build()

    def question(self):
        """What the library has to know of this accountant."""
        return {"accountant": self._name, "relation": _RELATIONS[self._neighboring_relation], "gap": self._relative_gap}

    def _ask(self, verb, uses, **more):
        events = [{"event": event.to_json(), "count": count} for event, count in uses]
        return library.ask(verb=verb, events=events, **self.question(), **more)

    def _bracket(self, verb, **at):
        found = self._ask(verb, self._ledger.uses(), **at)
        if found["gap_met"] is False:
            warnings.warn(f"the bracket of {verb}, {found[verb + '_lower']} to {found[verb]}, is wider than relative_gap="
                          f"{self._relative_gap} asks; both ends hold", RuntimeWarning, stacklevel=4)
        return found

    def _support(self, event):
        return self._ask("supports", [(event, 1)])

    def supports(self, event):
        return self._support(event)["supports"]

    def compose(self, event, count=1):
        """Adds `count` uses of the event; returns the accountant."""
        after = dp_event_builder.DpEventBuilder()  # checks types and counts before anything is kept
        after.compose(event, count)
        found = self._support(event)
        if not found["supports"]:
            raise UnsupportedEventError(f"Unsupported event: {event}. Error: {found['reason']}")
        self._ledger.compose(event, count)
        return self

    def get_epsilon_bounds(self, target_delta):
        """(lower, upper): the exact epsilon is between them. The lower one is 0 where the accountant has none."""
        found = self._bracket("epsilon", delta=target_delta)
        return _infinite(found["epsilon_lower"]), _infinite(found["epsilon"])

    def get_epsilon(self, target_delta):
        return self.get_epsilon_bounds(target_delta)[1]

    def get_delta_bounds(self, target_epsilon):
        found = self._bracket("delta", epsilon=target_epsilon)
        return found["delta_lower"], found["delta"]

    def get_delta(self, target_epsilon):
        return self.get_delta_bounds(target_epsilon)[1]

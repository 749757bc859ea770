"""A composition, event by event."""
from . import dp_event


class DpEventBuilder:
    def __init__(self):
        self._uses = []

    def compose(self, event, count=1):
        if not isinstance(event, dp_event.DpEvent):
            raise TypeError(f"`event` must be a DpEvent, got {type(event)}")
        if not isinstance(count, int):
            raise TypeError(f"`count` must be an integer, got {type(count)}")
        if count < 1:
            raise ValueError(f"`count` must be positive, got {count}")
        while isinstance(event, dp_event.SelfComposedDpEvent):
            event, count = event.event, event.count * count
        if isinstance(event, dp_event.NoOpDpEvent):
            return
        if self._uses and self._uses[-1][0] == event:
            count += self._uses.pop()[1]
        self._uses.append((event, count))

    def uses(self):
        """Pairs of an event and its count, in order."""
        return list(self._uses)

    def build(self):
        events = [event if count == 1 else dp_event.SelfComposedDpEvent(event, count) for event, count in self._uses]
        if not events:
            return dp_event.NoOpDpEvent()
        return events[0] if len(events) == 1 else dp_event.ComposedDpEvent(events)

"""What a device's job tells its host while it runs."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field

from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import InterruptedByUser


@dataclass(frozen=True)
class Event:
    """A text about a device: what it does now, or a note to keep."""

    device: str
    text: str
    note: bool = False


@dataclass
class Watch:
    """One device's line to the host: what it says, and whether it is still wanted.

    Attributes:
        device: its name.
        cancel: set by the user's Ctrl-C.
        events: where texts go; shared by all devices.
        given_up: set when the host ends for another reason.
    """

    device: str
    cancel: Cancel
    events: queue.SimpleQueue[Event]
    given_up: Cancel = field(default_factory=Cancel)

    def check(self) -> None:
        """Raise :class:`InterruptedByUser` if nobody wants the answer any more."""
        if self.cancel.is_set or self.given_up.is_set:
            raise InterruptedByUser

    def say(self, text: str) -> None:
        """Tell what the device does now."""
        self.events.put(Event(self.device, text))

    def note(self, text: str) -> None:
        """Tell what should be kept."""
        self.events.put(Event(self.device, text, note=True))

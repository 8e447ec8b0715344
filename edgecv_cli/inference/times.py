"""How long a stage takes, kept in bounded memory however long a run lasts."""

from __future__ import annotations

from array import array

from edgecv_cli.core.measurement import percentile

_MOST = 4096


class Times:
    """Durations in nanoseconds: their number, their sum, and an even sample for percentiles.

    The sample holds every duration of the first 4,096, then every second one, every fourth, and
    so on: evenly spread over the run, the same for the same durations.
    """

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self._every = 1
        self._sample = array("q")

    def add(self, nanoseconds: int) -> None:
        """Count one."""
        if self.count % self._every == 0:
            self._sample.append(nanoseconds)
        self.count += 1
        self.total_ns += nanoseconds
        if len(self._sample) >= _MOST:
            del self._sample[1::2]
            self._every *= 2

    def p50_ms(self) -> float | None:
        """Return the median in milliseconds; None before the first."""
        return percentile(self._sample, 50) / 1e6 if self._sample else None

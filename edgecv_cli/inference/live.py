"""Frames of cameras and streams, as they come: the newest of each, in turns, however often a
stream is lost.

A thread a source reads whatever comes, so that nothing grows old in a buffer, and keeps the newest
frame (or, if every frame counts, a few). Where a stream ends or stalls it is opened again, with
pauses that double.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import DataError
from edgecv_cli.inference.frames import Frame
from edgecv_cli.inference.sources import Skipped
from edgecv_cli.media.images import Image
from edgecv_cli.media.streams import Address, Stream
from edgecv_cli.media.video import VideoInfo

OLDEST_S = 1.0
"""Age from which on a frame is not handed out as live."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 1.5
_POLL_S = 0.1
_LONGEST_JOIN_S = 5.0
_ROOM = 32  # frames of a source, where every frame counts
_AT_ONCE_S = 0.004  # a frame that comes sooner had been waiting
_PART = 0.5  # of the time between frames: what comes sooner after the last had been waiting too
_FEWEST = 0.9  # containers estimate their frame count; more than a tenth short is a broken one
_MOST_DRAINED, _DRAIN_S = 250, 1.0

Note = Callable[[str], None]


class Opener(Protocol):
    """Opens an address; sooner given up where it had been open before."""

    def __call__(self, address: Address, *, again: bool = False) -> Opened:
        """Open it.

        Raises:
            DataError: it can't be opened.
        """
        ...


class Opened(Protocol):
    """A stream that is open; see :class:`edgecv_cli.media.streams.Stream`."""

    rate: float | None
    frames: int | None

    def skip(self) -> bool:
        """Wait for the next frame and leave it; False at the end."""
        ...

    def read(self) -> Image | None:
        """Wait for the next frame; None at the end."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...


@dataclass(frozen=True)
class Patience:
    """How live sources are treated.

    Attributes:
        lost_s: how long a source may give no pictures before it is given up; 0 gives up at once,
            None never.
        every_frame: whether frames wait for the detector, rather than the newest counting.
        limit: frames to hand out; None is no bound.
        seconds: how long to go on; None is no bound.
    """

    lost_s: float | None = 60.0
    every_frame: bool = False
    limit: int | None = None
    seconds: float | None = None


@dataclass
class LiveState:
    """How a source fared.

    Attributes:
        source: as it is shown.
        received: frames that it gave.
        given: frames that were handed out.
        dropped: frames that newer ones took the place of before they were asked for.
        stale: frames that had grown too old.
        reconnects: how often it came back.
        seconds_away: without pictures, between the first and the end.
        problem: why it was given up; None where it was not.
    """

    source: str
    received: int = 0
    given: int = 0
    dropped: int = 0
    stale: int = 0
    reconnects: int = 0
    seconds_away: float = 0.0
    problem: str | None = None


class LiveFrames:
    """Frames of live sources; iterate once.

    Args:
        addresses: where to read.
        patience: how.
        note: told of every loss and return.
        cancel: ends it, as its natural end.
        clock: monotonic seconds.
        opener: opens an address.

    Attributes:
        states: of each source, in their order.
        skipped: sources that were given up.
    """

    paths = ()
    has_images, has_videos, is_live = False, True, True

    def __init__(
        self,
        addresses: Sequence[Address],
        patience: Patience,
        *,
        note: Note,
        cancel: Cancel | None = None,
        clock: Callable[[], float] = time.monotonic,
        opener: Opener = Stream,
    ) -> None:
        self._patience, self._cancel, self._clock = patience, cancel or Cancel(), clock
        shared = _Shared(patience, note, clock, opener)
        self._changed, self._stopped = shared.changed, shared.stopped
        alone = len(addresses) == 1
        self._readers = [_Reader(one, shared, alone=alone) for one in addresses]

    @property
    def total(self) -> int | None:
        """How many frames to expect at most, if that is bounded."""
        return self._patience.limit

    @property
    def states(self) -> tuple[LiveState, ...]:
        """How each source fared so far."""
        return tuple(reader.state for reader in self._readers)

    @property
    def dropped(self) -> int:
        """Frames so far that newer ones took the place of, or that had grown too old."""
        return sum(one.dropped + one.stale for one in self.states)

    @property
    def skipped(self) -> list[Skipped]:
        """Sources that were given up, and why."""
        return [Skipped(one.source, one.problem) for one in self.states if one.problem]

    def stop(self) -> None:
        """End it, from any thread."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames, one source after the other where several have some.

        Raises:
            DataError: no source gave a single frame.
            Exception: whatever else reading raised.
        """
        began = self._clock()
        try:
            for reader in self._readers:
                reader.start()
            turn = given = 0
            while (ready := self._next(turn, began)) is not None:
                place, image, arrived = ready
                turn = place + 1
                reader = self._readers[place]
                yield reader.frame(image, arrived - began)
                given += 1
                if given == self._patience.limit:
                    return
            if not given and not self._cancel.is_set and not self._stopped.is_set():
                self._require_any()
        finally:
            self.stop()
            for reader in self._readers:
                reader.join()

    def _next(self, turn: int, began: float) -> tuple[int, Image, float] | None:
        """Wait for a frame that is new enough; None at the end."""
        count = len(self._readers)
        while not self._is_over(began):
            with self._changed:
                for place in ((turn + step) % count for step in range(count)):
                    taken = self._readers[place].take()
                    if taken is not None:
                        return place, *taken
                self._raise_broken()
                if all(reader.ended for reader in self._readers):
                    return None
                self._changed.wait(_POLL_S)
        return None

    def _is_over(self, began: float) -> bool:
        seconds = self._patience.seconds
        late = seconds is not None and self._clock() - began >= seconds
        return late or self._stopped.is_set() or self._cancel.is_set

    def _raise_broken(self) -> None:
        for reader in self._readers:
            if reader.broken is not None:
                raise reader.broken

    def _require_any(self) -> None:
        problems = [reader.error for reader in self._readers if reader.error is not None]
        if problems:
            raise problems[0]


@dataclass(frozen=True)
class _Shared:
    """What the readers of a run have in common."""

    patience: Patience
    note: Note
    clock: Callable[[], float]
    opener: Opener
    changed: threading.Condition = field(default_factory=threading.Condition)
    stopped: threading.Event = field(default_factory=threading.Event)


class _Reader:
    """Reads one source in a thread of its own."""

    def __init__(self, address: Address, shared: _Shared, *, alone: bool) -> None:
        self._address, self._patience, self._note = address, shared.patience, shared.note
        self._changed, self._stopped = shared.changed, shared.stopped
        self._clock, self._opener = shared.clock, shared.opener
        self._frames: deque[tuple[Image, float]] = deque()
        self._rate: float | None = None
        self._alone, self._keeps_all = alone, shared.patience.every_frame
        self._lost: float | None = None
        self.state = LiveState(address.shown)
        self.error: DataError | None = None
        self.broken: Exception | None = None
        self.ended = False
        self._thread = threading.Thread(target=self._run, name="edgecv-live", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread, but not for a name server: it ends by itself after that."""
        if self._thread.ident is not None:
            self._thread.join(_LONGEST_JOIN_S)

    def take(self) -> tuple[Image, float] | None:
        """Return the next frame and when it came; the caller holds the lock."""
        while self._frames:
            image, arrived = self._frames.popleft()
            self._changed.notify_all()
            if not self._keeps_all and self._clock() - arrived > OLDEST_S:
                self.state.stale += 1
                continue
            return image, arrived
        return None

    def frame(self, image: Image, seconds: float) -> Frame:
        index, self.state.given = self.state.given, self.state.given + 1
        return Frame(self.state.source, index, image, seconds, VideoInfo(self._rate, None))

    def _run(self) -> None:
        try:
            self._read_on()
        except Exception as error:  # noqa: BLE001 - raised again by who iterates
            self.broken = error
        finally:
            with self._changed:
                if self._lost is not None:
                    self.state.seconds_away += self._clock() - self._lost
                self.ended = True
                self._changed.notify_all()

    def _read_on(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopped.is_set():
            before = self.state.received
            over = self._read_once()
            if over or self._stopped.is_set():
                return
            if self.state.received > before:
                pause = _FIRST_PAUSE_S
            if not self._may_try_again():
                return
            # not all at once, where a server that fell over had many
            self._stopped.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _read_once(self) -> bool:
        """Open and read until it ends or stalls; True where that is the end of a recording."""
        try:
            stream = self._opener(self._address, again=self.state.received > 0)
        except DataError as error:
            self.error = error
            return False
        try:
            self._rate = stream.rate
            self._keeps_all |= stream.frames is not None  # a recording is not live
            if stream.frames is None:
                self._drain(stream)
            while not self._stopped.is_set():
                image = stream.read()
                if image is None:
                    break
                self._put(image)
            if not self.state.received:
                self.error = DataError(
                    f"{self.state.source} opens, but gives no pictures",
                    remedy="check that it sends video that FFmpeg can decode",
                )
        except DataError as error:
            self.error = error
            return False
        finally:
            stream.close()
        if stream.frames is not None and self.state.received:
            if self.state.received < stream.frames * _FEWEST and not self._stopped.is_set():
                received = self.state.received
                self.state.problem = f"it ended after {received} of about {stream.frames} frames"
            return True
        return False

    def _drain(self, stream: Opened) -> None:
        """Leave what had been waiting while the stream was opened."""
        until = self._clock() + _DRAIN_S
        at_once = max(_AT_ONCE_S, _PART / stream.rate if stream.rate else 0)
        for _ in range(_MOST_DRAINED):
            began = self._clock()
            if self._stopped.is_set() or not stream.skip():
                return
            now = self._clock()
            if now - began > at_once or now > until:
                return

    def _put(self, image: Image) -> None:
        now = self._clock()
        if self._lost is not None:
            away, self._lost = now - self._lost, None
            self.state.reconnects += 1
            self.state.seconds_away += away
            self._note(f"{self.state.source} is back after {away:.1f} s")
        with self._changed:
            self.state.received += 1
            if self._keeps_all:
                while len(self._frames) >= _ROOM and not self._stopped.is_set():
                    self._changed.wait(_POLL_S)
            else:
                self.state.dropped += len(self._frames)
                self._frames.clear()
            self._frames.append((image, now))
            self._changed.notify_all()

    def _may_try_again(self) -> bool:
        """Say that the source is lost, and whether to go on; it is given up if it never came."""
        now, state = self._clock(), self.state
        why = "it ended" if self.error is None or state.received else self.error.problem
        if not state.received and self._alone:
            state.problem = why
            return False
        patience = self._patience.lost_s
        if self._lost is None:
            self._lost = now
            if patience != 0:
                self._note(f"{state.source} gives no pictures any more: trying again")
        if patience is None or now - self._lost < patience:
            return True
        state.problem = f"{state.source} gave no pictures for {now - self._lost:.0f} s"
        return False

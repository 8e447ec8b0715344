"""Several predictors of one network that look at the parts of pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Protocol

from edgecv_cli.core.boxes import Detections
from edgecv_cli.inference.predictor import Timings
from edgecv_cli.media.images import Image

Seen = tuple[Detections, Timings]


class Looking(Protocol):
    """Finds objects in one picture."""

    def predict_timed(self, image: Image) -> Seen:
        """Return what is in a BGR uint8 [H, W, 3] image, in its pixels, best first."""
        ...

    def close(self) -> None:
        """Free the engine's memory."""
        ...


class Team:
    """Predictors, each of which takes the next picture as soon as it is free.

    Any thread may ask; who asks first is served first. One predictor alone works in the thread
    that asks, and only one may ask.

    Args:
        members: at least one; each is used by one thread at a time.
        owner: closed with the team; None is the first member.
    """

    def __init__(self, members: Sequence[Looking], owner: Looking | None = None) -> None:
        self._members, self._owner = members, owner or members[0]
        self._free: SimpleQueue[Looking] = SimpleQueue()
        for member in members:
            self._free.put(member)
        self._threads = (
            ThreadPoolExecutor(len(members), "edgecv-tile") if len(members) > 1 else None
        )

    def predict_all(self, images: Sequence[Image]) -> list[Seen]:
        """Return what is in each of several BGR uint8 [H, W, 3] images, in their order.

        Raises:
            Exception: whatever a predictor raised; images that nobody took up are left.
        """
        if self._threads is None:
            return [self._members[0].predict_timed(image) for image in images]
        asked = [self._threads.submit(self._next, image) for image in images]
        try:
            return [one.result() for one in asked]
        finally:
            for one in asked:
                one.cancel()

    def predict_timed(self, image: Image) -> Seen:
        """Return what is in a BGR uint8 [H, W, 3] image, in its pixels, best first."""
        return self.predict_all([image])[0]

    def close(self) -> None:
        """End the threads and free the engine's memory."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        self._owner.close()

    def _next(self, image: Image) -> Seen:
        member = self._free.get()
        try:
            return member.predict_timed(image)
        finally:
            self._free.put(member)

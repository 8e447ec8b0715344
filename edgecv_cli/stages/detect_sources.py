"""What detect looks at: files, or cameras and streams."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, UsageError
from edgecv_cli.inference.live import LiveFrames, Patience
from edgecv_cli.inference.sources import FrameSource, open_sources
from edgecv_cli.media.streams import Address, live_address
from edgecv_cli.stages.detect_result import LiveRow

if TYPE_CHECKING:
    from edgecv_cli.config.detect import DetectConfig

_FROM_INPUT = "-"
_MOST_TEXT = 2**26


def open_any(config: DetectConfig, context: Context) -> FrameSource | LiveFrames:
    """Find what the sources name.

    Raises:
        DataError: one names nothing, or nothing that can be read.
        UsageError: files and live sources stand side by side, or options do not fit.
    """
    sources = list(dict.fromkeys(_listed(config.sources)))
    live = {source: address for source in sources if (address := live_address(source)) is not None}
    if not live:
        _refuse_live_options(config)
        return open_sources(sources, limit=config.limit, rate=config.fps)
    if len(live) < len(sources):
        files = next(source for source in sources if source not in live)
        raise UsageError(
            f"{files} is a file, and others are cameras or streams", remedy="run them by themselves"
        )
    if len(live) > 1:
        _refuse_many(config)
    patience = Patience(
        lost_s=config.reconnect_for,
        every_frame=config.every_frame,
        limit=config.limit,
        seconds=config.duration,
    )
    return LiveFrames(
        list(_told_apart(live.values())),
        patience,
        note=context.progress.note,
        cancel=context.cancel,
    )


def live_rows(source: FrameSource | LiveFrames) -> dict[str, object]:
    """Return what the summary says of live sources."""
    if not isinstance(source, LiveFrames):
        return {}
    return {
        "dropped": source.dropped,
        "live": tuple(
            LiveRow(
                source=one.source,
                received=one.received,
                given=one.given,
                dropped=one.dropped,
                stale=one.stale,
                reconnects=one.reconnects,
                seconds_away=round(one.seconds_away, 3),
                problem=one.problem,
            )
            for one in source.states
        ),
    }


def _told_apart(addresses: Iterable[Address]) -> Iterator[Address]:
    """Number those that look alike without their secrets, as the channels of one recorder."""
    seen: Counter[str] = Counter()
    for one in addresses:
        seen[one.shown] += 1
        number = seen[one.shown]
        yield one if number == 1 else replace(one, shown=f"{one.shown} ({number})")


def _listed(sources: Iterable[str]) -> Iterator[str]:
    """Yield the sources; those of ``-`` are read from standard input, a line or a NUL each."""
    for source in sources:
        if source != _FROM_INPUT:
            yield source
            continue
        text = sys.stdin.read(_MOST_TEXT)
        names = [name for name in text.split("\0" if "\0" in text else "\n") if name.strip()]
        if not names or len(text) == _MOST_TEXT:
            raise DataError(
                f"standard input lists {'too many' if names else 'no'} files",
                remedy="pipe in paths, one a line: find photos -name '*.jpg' | edgecv detect M -",
            )
        yield from names


def _refuse_live_options(config: DetectConfig) -> None:
    for option in ("every_frame", "reconnect_for", "duration"):
        if option in config.model_fields_set:
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(
                f"{flag} is for cameras and streams, and the sources are files",
                remedy=f"leave {flag} out",
            )


def _refuse_many(config: DetectConfig) -> None:
    if config.track:
        raise UsageError(
            "--track takes one live source at a time, and there are several",
            remedy="run one edgecv for each, or leave --track out",
        )

"""What detect has to do with tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgecv_cli.core.errors import UsageError
from edgecv_cli.inference.frames import class_name
from edgecv_cli.inference.tracking.following import Follower
from edgecv_cli.stages.detect_result import LineCrossings

if TYPE_CHECKING:
    from edgecv_cli.config.detect import DetectConfig
    from edgecv_cli.inference.live import LiveFrames
    from edgecv_cli.inference.sources import FrameSource


def open_follower(
    config: DetectConfig, source: FrameSource | LiveFrames, threshold: float
) -> Follower | None:
    """Return what follows objects, where ``--track`` asks for it.

    Args:
        config: what was asked for.
        source: what is looked at.
        threshold: score of a box that counts, 0..1.

    Raises:
        UsageError: there is no video to follow anything through.
        MissingDependencyError: what matches tracks and boxes is not installed.
    """
    if not config.track:
        return None
    if not source.has_videos:
        raise UsageError(
            "--track follows objects from frame to frame, and none of the sources is a video",
            remedy="leave --track out, or give a video",
        )
    return Follower(threshold=threshold, lines=config.line)


def followed(follower: Follower, class_names: Sequence[str]) -> dict[str, Any]:
    """Return what the summary says of tracks and lines."""

    def named(counts: Mapping[int, int]) -> dict[str, int]:
        return {class_name(index, class_names): count for index, count in sorted(counts.items())}

    crossed = [
        LineCrossings(line=one.line, forward=named(one.forward), back=named(one.back))
        for one in follower.counters
    ]
    return {"tracks": follower.tracks, "lines": tuple(crossed) or None}

"""What a run of detect sums up to."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from edgecv_cli.core.result import Part, Result
from edgecv_cli.inference.flow import Rooms
from edgecv_cli.inference.predictor import Timings
from edgecv_cli.inference.times import Times

STAGE_NAMES = {
    "read": "reading",
    "preprocess": "preprocessing",
    "infer": "inference",
    "postprocess": "post-processing",
    "write": "writing",
}
STAGES = tuple(STAGE_NAMES)


class SkippedSource(Part):
    """A source that gave no frames, or fewer than it promised."""

    source: str
    problem: str


class Limit(Part):
    """What a run could not go faster than."""

    stage: str = Field(description="read, preprocess, infer, postprocess or write.")
    busy: float = Field(description="Share of the run in which its threads had work, 0..1.")


class Queues(Part):
    """Frames in the two queues, on average over the run, looked at when a frame was done.

    Before a stage that is slower than those in front of it the queue is full.
    """

    to_detect: float = Field(description="Read, and waiting to be detected.")
    to_detect_most: int = Field(description="As many as that queue holds.")
    to_write: float = Field(description="Detected, and waiting to be written in their order.")
    to_write_most: int = Field(description="As many as that queue holds.")


class LiveRow(Part):
    """How a camera or stream fared."""

    source: str = Field(description="Without user, password or the values of its query.")
    received: int = Field(description="Frames that it gave.")
    given: int = Field(description="Frames that were looked at.")
    dropped: int = Field(description="Frames that newer ones took the place of.")
    stale: int = Field(description="Frames that were older than a second when their turn came.")
    reconnects: int
    seconds_away: float = Field(description="Time without pictures, after the first.")
    problem: str | None = Field(default=None, description="Why it was given up.")


class LineCrossings(Part):
    """Tracks whose centre crossed a line, by class name."""

    line: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in pixels.")
    forward: dict[str, int] = Field(
        description="From the left to the right of one who looks from x1, y1 to x2, y2."
    )
    back: dict[str, int]


class DetectSummary(Result):
    """One run of detect. Times are absent where there was no frame to time."""

    schema_: str = Field(
        default="edgecv.detect/1", serialization_alias="schema", validation_alias="schema"
    )
    model: str
    sha256: str | None = None
    family: str
    frames: int
    detections: int
    skipped: tuple[SkippedSource, ...] = ()
    live: tuple[LiveRow, ...] | None = None
    score_threshold: float
    nms_iou: float
    tile: tuple[int, int] | None = Field(
        default=None, description="Height and width of tiles that pictures were looked at in."
    )
    tracks: int | None = Field(default=None, description="Tracks, over all videos.")
    lines: tuple[LineCrossings, ...] | None = None
    hidden: int | None = Field(
        default=None, description="Boxes that --blur made unrecognisable, doubtful ones too."
    )
    kept: dict[str, int] | None = Field(
        default=None, description="Pictures that --save crops and --save hard kept, by kind."
    )
    seconds: float = Field(description="From the first read to the last result written.")
    fps: float | None = Field(default=None, description="frames / seconds, end to end.")
    read_p50_ms: float | None = Field(default=None, description="Reading and decoding a frame.")
    preprocess_p50_ms: float | None = None
    infer_p50_ms: float | None = Field(
        default=None, description="One inference, while others may be in flight."
    )
    postprocess_p50_ms: float | None = None
    write_p50_ms: float | None = Field(default=None, description="All sinks, drawing included.")
    in_flight: int = Field(default=1, description="Frames that may be detected at once.")
    dropped: int = Field(default=0, description="Frames that newer ones took the place of.")
    queues: Queues | None = None
    limit: Limit | None = None
    engine: str
    provider: str = Field(description="What really ran, as the engine reports it.")
    threads: int
    output: str | None = Field(default=None, description="Folder that holds the results.")


class Tally:
    """Counts what passes by, for the summary.

    Attributes:
        frames, detections: what came out.
        dropped: frames that were dropped for newer ones.
        rooms: what waited when the last frame was done.
        lanes: inferences that may be in flight at once.
    """

    def __init__(self) -> None:
        self.frames = self.detections = self.dropped = 0
        self.rooms: Rooms | None = None
        self._waited = [0, 0]
        self.lanes = 1
        self._times = {stage: Times() for stage in STAGES}

    def follow(self, read: Times, lanes: int) -> None:
        """Take the times of reading from who reads, and the number of lanes."""
        self._times["read"], self.lanes = read, lanes

    def add(self, detections: int, timings: Timings, *, write_ns: int) -> None:
        """Count one frame."""
        self.frames += 1
        self.detections += detections
        self._times["preprocess"].add(timings.preprocess_ns)
        self._times["infer"].add(timings.infer_ns)
        self._times["postprocess"].add(timings.postprocess_ns)
        self._times["write"].add(write_ns)

    def look(self, rooms: Rooms, dropped: int) -> None:
        """Take what waits at the end of a frame, and what was dropped so far."""
        self.rooms, self.dropped = rooms, dropped
        self._waited[0] += rooms.before
        self._waited[1] += rooms.behind

    def queues(self) -> Queues | None:
        """Return how many frames waited, on average; None before the first."""
        if self.rooms is None or not self.frames:
            return None
        before, behind = (total / self.frames for total in self._waited)
        return Queues(
            to_detect=before,
            to_detect_most=self.rooms.most_before,
            to_write=behind,
            to_write_most=self.rooms.most_behind,
        )

    def spent(self) -> dict[str, tuple[int, int]]:
        """Return nanoseconds so far, and of how many frames, by stage."""
        return {stage: (times.total_ns, times.count) for stage, times in self._times.items()}

    def medians(self) -> dict[str, float | None]:
        """Return the median time of each stage, by its key in the summary."""
        return {f"{stage}_p50_ms": times.p50_ms() for stage, times in self._times.items()}

    def limit(self, nanoseconds: int) -> Limit | None:
        """Return the stage that sets the pace: of who is busy most, what takes most.

        Args:
            nanoseconds: the whole run, in which each lane, reading and writing have a thread.
        """
        if not self.frames or nanoseconds <= 0:
            return None
        spent = {stage: times.total_ns for stage, times in self._times.items()}
        return limit_of(spent, self.lanes, nanoseconds)


def limit_of(spent: Mapping[str, int], lanes: int, nanoseconds: int) -> Limit:
    """Return the stage that sets the pace: of who is busy most, what takes most.

    Args:
        spent: nanoseconds by stage.
        lanes: inferences that may be in flight at once.
        nanoseconds: in which the stages spent them; above 0.
    """
    teams = (
        (("read",), 1),
        (("preprocess", "infer", "postprocess"), lanes),
        (("write",), 1),
    )
    busy, stages = max(
        (sum(spent[stage] for stage in stages) / (threads * nanoseconds), stages)
        for stages, threads in teams
    )
    return Limit(stage=max(stages, key=lambda stage: spent[stage]), busy=min(1.0, busy))

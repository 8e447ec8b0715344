"""What ``edgecv detect`` shows when it is done."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from edgecv_cli.cli.render.tables import facts, fixed, grid, line, measured_on, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.stages.detect_result import DetectSummary, LineCrossings

SHOWN_FRAMES = 20


class FirstFrames:
    """Keeps what was found in the first frames, as text; the rest is only counted."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def emit(self, record: dict[str, Any]) -> None:
        """Take one frame's record, or the summary, which is shown otherwise."""
        if "detections" in record and len(self.rows) < SHOWN_FRAMES:
            counts = Counter(found["class_name"] for found in record["detections"])
            said = ", ".join(f"{number} {name}" for name, number in counts.most_common())
            best = max((found["score"] for found in record["detections"]), default=None)
            row = (record["source"], str(record["frame"]), said or "nothing", fixed(best, 2))
            self.rows.append(row)


def render(summary: DetectSummary, shown: FirstFrames) -> Iterator[RenderableType]:
    """Yield what was found in the first frames, and how long the run took."""
    if shown.rows:
        yield _found(shown.rows)
    if summary.frames > len(shown.rows) > 0:
        more = summary.frames - len(shown.rows)
        yield line(f"and {more} more frames (all with --json, or -o DIR)", "dim")
    for entry in summary.skipped:
        yield warning(f"skipped {entry.source}: {entry.problem}")
    yield facts(
        [
            ("frames", f"{summary.frames}, {summary.detections} objects"),
            ("speed", _speed(summary)),
            ("medians", _medians(summary)),
            ("limit", _limit(summary)),
            ("queues", _queues(summary)),
            ("dropped", f"{summary.dropped} frames for newer ones" if summary.dropped else None),
            ("hidden", None if summary.hidden is None else f"{summary.hidden} boxes"),
            ("tracks", None if summary.tracks is None else str(summary.tracks)),
            *(_crossed(one) for one in summary.lines or ()),
            ("kept", _kept(summary)),
            ("saved in", summary.output),
        ]
    )
    tiles = f", tiles of {summary.tile[0]}x{summary.tile[1]}" if summary.tile else ""
    yield line(
        f"{summary.family}, score {summary.score_threshold:g}, NMS IoU {summary.nms_iou:g}{tiles}; "
        f"{summary.engine} ({summary.provider}), {summary.threads} threads",
        "dim",
    )
    yield from measured_on(summary.machine)


def _kept(summary: DetectSummary) -> str | None:
    names = {"crops": "objects cut out", "hard": "frames worth labelling"}
    counts = (summary.kept or {}).items()
    return ", ".join(f"{count} {names.get(kind, kind)}" for kind, count in counts) or None


def _crossed(counted: LineCrossings) -> tuple[str, str]:
    ends = ",".join(f"{part:g}" for part in counted.line)
    ways = [
        f"{way} " + (", ".join(f"{count} {name}" for name, count in counts.items()) or "none")
        for way, counts in (("forward", counted.forward), ("back", counted.back))
    ]
    return f"line {ends}", "; ".join(ways)


def _found(rows: list[tuple[str, str, str, str]]) -> RenderableType:
    """Return the table of frames; their numbers say something in videos alone."""
    if all(frame == "0" for _, frame, _, _ in rows):
        return grid(
            ("source", "found", "best score"),
            [(source, found, best) for source, _, found, best in rows],
            texts=2,
        )
    return grid(("source", "frame", "found", "best score"), rows, texts=3)


def _speed(summary: DetectSummary) -> str | None:
    if summary.fps is None:
        return None
    return f"{summary.fps:.1f} frames/s end to end, {summary.seconds:.1f} s with reading and saving"


def _medians(summary: DetectSummary) -> str | None:
    if summary.infer_p50_ms is None:
        return None
    steps = (
        ("read", summary.read_p50_ms),
        ("preprocess", summary.preprocess_p50_ms),
        ("infer", summary.infer_p50_ms),
        ("post-process", summary.postprocess_p50_ms),
        ("write", summary.write_p50_ms),
    )
    return ", ".join(f"{name} {fixed(value, 1)} ms" for name, value in steps)


def _limit(summary: DetectSummary) -> str | None:
    if summary.limit is None:
        return None
    many = f", {summary.in_flight} in flight" if summary.in_flight > 1 else ""
    from edgecv_cli.stages.detect_result import STAGE_NAMES

    return f"{STAGE_NAMES[summary.limit.stage]}, busy {summary.limit.busy:.0%} of the time{many}"


def _queues(summary: DetectSummary) -> str | None:
    queues = summary.queues
    if queues is None or summary.frames < 2:
        return None
    return (
        f"{queues.to_detect:.1f} of {queues.to_detect_most} waited for detection, "
        f"{queues.to_write:.1f} of {queues.to_write_most} for writing"
    )

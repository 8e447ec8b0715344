"""What a picture takes on its whole way, stage by stage, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError
from edgecv_cli.core.measurement import NS_PER_MS, percentile
from edgecv_cli.core.require import cv2
from edgecv_cli.core.result import Interval, Part
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency_intervals import latency_intervals
from edgecv_cli.measure.pictures import natural_pictures
from edgecv_cli.measure.side_child import Side, StartSide, Turns, share_rounds, take_turns

_TURN_SECONDS = 0.2
_DRAWN, _DRAWN_SIZE = 4, (720, 1280)
_QUALITY = 90  # 0.6 bytes a pixel, as the photographs of COCO have


class StageTime(Part):
    """Times of one stage, over pictures."""

    p50_ms: float
    p95_ms: float


class EndToEnd(Part):
    """One picture from its file to its boxes, the stages one after the other on this machine."""

    decode: StageTime = Field(description="Reading the file (from memory, if it fits) into pixels.")
    preprocess: StageTime = Field(description="Resizing, colours and scale, into the input.")
    infer: StageTime
    postprocess: StageTime = Field(description="Decoding the outputs, NMS, back to the picture.")
    total: StageTime
    interval: Interval | None = Field(default=None, description="95 % interval of total's p50.")
    fps: float = Field(description="Pictures a second: 1 / mean total.")
    samples: int = Field(description="Pictures that were timed, the same ones several times.")
    images: int = Field(description="Different pictures.")
    source: str = Field(description="Which pictures, in words.")
    detections: float = Field(description="Median number of boxes in a picture.")


def draw_pictures(folder: Path, seed: int) -> list[Path]:
    """Write drawn pictures of 1280 x 720 as JPEG into a folder; returns their paths."""
    paths = []
    for number, picture in enumerate(natural_pictures(_DRAWN, _DRAWN_SIZE, seed)):
        path = folder / f"{number}.jpg"
        setting = [cv2().IMWRITE_JPEG_QUALITY, _QUALITY]
        path.write_bytes(cv2().imencode(".jpg", picture, setting)[1].tobytes())
        paths.append(path)
    return paths


def measure_end_to_end(
    rows: Sequence[BenchRow],
    images: Sequence[Path],
    *,
    source: str,
    seconds: float,
    context: Context,
    start: StartSide | None = None,
) -> list[EndToEnd | EdgeCVError]:
    """Send pictures the whole way through every row, in turns of about 0.2 s.

    Args:
        rows: detectors, with their spec.
        images: picture files, taken in turn.
        source: which they are, in words.
        seconds: of each row.
        context: progress, cancellation, and the seed of order and intervals.
        start: makes a row's process.

    Returns:
        One entry a row; what went wrong stands in the place of a figure.
    """

    def plan(opened: Sequence[dict[str, Any]]) -> Turns:
        each = [one.get("picture_ns", 1) / 1e9 for one in opened]
        count, share = share_rounds([max(_TURN_SECONDS, one) for one in each], seconds)
        return count, [{"pictures": max(1, round(share / one))} for one in each]

    sides = take_turns(
        rows,
        "end-to-end",
        [{"images": [str(path.absolute()) for path in images]}] * len(rows),
        plan,
        name="end to end",
        context=context,
        start=start,
    )
    return [side.failure or _figures(side, len(images), source, context.seed) for side in sides]


def _figures(side: Side, images: int, source: str, seed: int) -> EndToEnd:
    turns = [np.asarray(turn["ns"], np.int64) for turn in side.turns]
    stages = np.concatenate(turns)
    totals = [turn.sum(1).tolist() for turn in turns]
    found = [count for turn in side.turns for count in turn["detections"]]
    total = stages.sum(1)
    decode, preprocess, infer, postprocess = (_time(column) for column in stages.T)
    return EndToEnd(
        decode=decode,
        preprocess=preprocess,
        infer=infer,
        postprocess=postprocess,
        total=_time(total),
        interval=latency_intervals([totals], seed=seed).get("p50_ms"),
        fps=1e9 / float(total.mean()),
        samples=len(stages),
        images=images,
        source=source,
        detections=float(np.median(found)),
    )


def _time(column: NDArray[np.int64]) -> StageTime:
    return StageTime(
        p50_ms=percentile(column, 50) / NS_PER_MS, p95_ms=percentile(column, 95) / NS_PER_MS
    )

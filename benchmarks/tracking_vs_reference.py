"""edgecv's tracks against those of a reference library, on scenes whose tracks are known.

    pip install trackers==2.6.1
    python benchmarks/tracking_vs_reference.py [--scenes 10] [--frames 300] [--things 12]

Things of three classes wander through a picture of 1280 x 720; who is farther away disappears
behind who is nearer. Boxes tremble, scores fall with what is seen of a thing, some things are
missed and some boxes are nothing. Both trackers get the same boxes, of which the reference takes
no classes, and the same thresholds. MOTA, IDF1 and changes of identity are those of the reference
library (`trackers.eval`, after TrackEval), at IoU 0.5; truth is who is seen to a quarter at least.
Prints JSON: sums over scenes, and how many times 10 hidden frames cost a thing its number.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import supervision as sv
from trackers import ByteTrackTracker
from trackers.eval import (
    aggregate_clear_metrics,
    aggregate_identity_metrics,
    compute_clear_metrics,
    compute_identity_metrics,
)

from edgecv_cli.core.boxes import Detections, iou_matrix
from edgecv_cli.inference.tracking.byte_tracker import ByteTracker

_WIDE, _TALL, _THRESHOLD, _PATIENCE = 1280, 720, 0.5, 30


@dataclass
class Frame:
    """What is there, and what a detector makes of it."""

    truth: Any  # [n, 4]
    ids: Any  # [n]
    found: Detections


def scene(seed: int, frames: int, things: int) -> list[Frame]:
    rng = np.random.default_rng(seed)
    tall = rng.uniform(50, 160, things)
    wide = tall * rng.uniform(0.4, 0.9, things)
    start = rng.uniform([0, 100], [_WIDE, _TALL - 100], (things, 2))
    speed = rng.normal(0, 2.5, (things, 2)) * [1, 0.3]
    swing, period = rng.uniform(0, 25, (things, 2)), rng.uniform(60, 200, (things, 2))
    classes = rng.integers(0, 3, things)
    return [
        seen(start + speed * at + swing * np.sin(2 * np.pi * at / period), wide, tall, classes, rng)
        for at in range(frames)
    ]


def seen(centres: Any, wide: Any, tall: Any, classes: Any, rng: Any) -> Frame:
    half = np.stack([wide, tall], axis=1) / 2
    boxes = np.concatenate([centres - half, centres + half], axis=1)
    share = visible(boxes, tall)
    there = share > 0.25
    score = np.clip(0.35 + 0.55 * share + rng.normal(0, 0.08, len(boxes)), 0.05, 0.99)
    caught = there & (rng.random(len(boxes)) > 0.03)
    trembling = boxes + rng.normal(0, 0.02, boxes.shape) * tall[:, None]
    nothing = rng.random(rng.poisson(0.3))
    corner = rng.uniform(0, [_WIDE, _TALL], (len(nothing), 2))
    false = np.concatenate([corner, corner + rng.uniform(30, 120, corner.shape)], axis=1)
    found = Detections(
        np.concatenate([trembling[caught], false]).astype(np.float32),
        np.concatenate([score[caught], 0.1 + 0.5 * nothing]).astype(np.float32),
        np.concatenate([classes[caught], rng.integers(0, 3, len(nothing))]),
    )
    return Frame(boxes[there].astype(np.float32), np.flatnonzero(there), found)


def visible(boxes: Any, tall: Any) -> Any:
    """Which share of each box is inside the picture and in front of no taller, nearer one."""
    inside = np.clip(boxes, 0, [_WIDE, _TALL, _WIDE, _TALL])
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    share = np.prod(np.clip(inside[:, 2:] - inside[:, :2], 0, None), axis=1) / area
    for one, box in enumerate(boxes):
        corner = np.maximum(boxes[:, :2], box[:2])
        over = np.prod(np.clip(np.minimum(boxes[:, 2:], box[2:]) - corner, 0, None), axis=1)
        share[one] -= (over * (tall > tall[one])).max(initial=0) / area[one]
    return np.clip(share, 0, 1)


class Ours:
    def __init__(self) -> None:
        self._tracker = ByteTracker(threshold=_THRESHOLD, patience=_PATIENCE)

    def follow(self, found: Detections) -> tuple[Any, Any]:
        numbers = self._tracker.update(found)
        return found.boxes[numbers > 0], numbers[numbers > 0]


class Reference:
    def __init__(self) -> None:
        self._tracker = ByteTrackTracker(
            lost_track_buffer=_PATIENCE,
            track_activation_threshold=_THRESHOLD + 0.1,
            high_conf_det_threshold=_THRESHOLD,
        )

    def follow(self, found: Detections) -> tuple[Any, Any]:
        given = sv.Detections(
            xyxy=found.boxes, confidence=found.scores, class_id=found.class_ids.astype(int)
        )
        told = self._tracker.update(given)
        ids = told.tracker_id if told.tracker_id is not None else np.zeros(0, int) - 1
        return told.xyxy[ids >= 0], ids[ids >= 0]


def judged(scenes: list[list[Frame]], tracker: type[Ours | Reference]) -> dict[str, float]:
    clear, identity, seconds = [], [], 0.0
    for frames in scenes:
        one = tracker()
        answers = []
        for frame in frames:
            began = time.perf_counter()
            answers.append(one.follow(frame.found))
            seconds += time.perf_counter() - began
        truth, told = [frame.ids for frame in frames], [ids for _, ids in answers]
        near = [
            iou_matrix(frame.truth, boxes).astype(float)
            for frame, (boxes, _) in zip(frames, answers, strict=True)
        ]
        clear.append(compute_clear_metrics(truth, told, near))
        identity.append(compute_identity_metrics(truth, told, near))
    whole = {**aggregate_clear_metrics(clear), **aggregate_identity_metrics(identity)}
    count = sum(len(frames) for frames in scenes)
    return {
        "MOTA": whole["MOTA"],
        "IDF1": whole["IDF1"],
        "identity_switches": whole["IDSW"],
        "ms_per_frame": 1000 * seconds / count,
    }


def lost_numbers(tracker: type[Ours | Reference], trials: int) -> int:
    """How many of so many walkers have another number after 10 frames behind something."""
    lost = 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        place, speed, size = rng.uniform(200, 500, 2), rng.normal(0, 2, 2), rng.uniform(40, 120, 2)
        one, before, after = tracker(), set(), set()
        for at in range(60):
            corner = place + speed * at + rng.normal(0, 1, 2)
            hidden = 30 <= at < 40
            box = np.concatenate([corner, corner + size])[None][: 0 if hidden else 1]
            count = len(box)
            found = Detections(
                box.astype(np.float32), np.full(count, 0.9, np.float32), np.zeros(count, np.int64)
            )
            (before if at < 30 else after).update(one.follow(found)[1].tolist())
        lost += before != after
    return lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=10)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--things", type=int, default=12)
    options = parser.parse_args()
    scenes = [scene(seed, options.frames, options.things) for seed in range(options.scenes)]
    rows = {
        name: {**judged(scenes, kind), "lost_of_100_hidden_for_10_frames": lost_numbers(kind, 100)}
        for name, kind in (("edgecv", Ours), (f"trackers {version('trackers')}", Reference))
    }
    print(json.dumps({**vars(options), **rows}, indent=2))


if __name__ == "__main__":
    main()

"""Whether the memory of ``edgecv detect`` grows over a long run.

    python benchmarks/memory_of_a_long_run.py CLIP MODEL.onnx [--frames 20000] [--track]

The clip is looped, detections are written as JSON lines to /dev/null. The resident set (RSS, from
/proc/self/statm) is taken every 50 frames; after a tenth of the frames a straight line is fitted.
Neighbouring samples are alike, so that the slope's 95 % interval comes from the fit's residuals
resampled in blocks of a tenth. Prints JSON; the slope is in bytes a frame.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.core.context import Context
from edgecv_cli.inference.exports import JsonLinesSink
from edgecv_cli.inference.frames import Frame
from edgecv_cli.inference.sources import open_sources
from edgecv_cli.measure.hardware import machine
from edgecv_cli.stages.detect import detect
from edgecv_cli.stages.detect_model import load_model
from edgecv_cli.stages.detect_tracking import open_follower

_EVERY = 50
_BLOCKS, _RESAMPLES = 10, 2000


def looped(clip: Path, frames: int) -> Iterator[Frame]:
    given = 0
    while True:
        for frame in open_sources([str(clip)]):
            yield Frame(frame.source, given, frame.image, frame.timestamp, frame.video)
            given += 1
            if given == frames:
                return


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def sampled(options: argparse.Namespace) -> tuple[list[int], list[int]]:
    """Return frames and RSS of each sample."""
    config = DetectConfig(
        model=options.model, sources=(str(options.clip),), threads=2, track=options.track
    )
    loaded = load_model(config, 2)
    at, bytes_held = [], []
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        sink = JsonLinesSink(lambda record: print(json.dumps(record), file=nowhere))
        found = detect(
            loaded,
            looped(options.clip, options.frames),
            [sink],
            Context(),
            follower=open_follower(
                config, open_sources([str(options.clip)]), loaded.profile.threshold
            ),
        )
        for count, _ in enumerate(found, start=1):
            if count % _EVERY == 0:
                at.append(count)
                bytes_held.append(resident())
    loaded.predictor.close()
    return at, bytes_held


def slope(at: Any, held: Any) -> dict[str, float]:
    """Fit a line after warm-up; its interval by a bootstrap of blocks of residuals."""
    start = len(at) // 10
    x, y = np.asarray(at[start:], float), np.asarray(held[start:], float)
    line = np.polyfit(x, y, 1)
    fitted = np.polyval(line, x)
    size = len(x) // _BLOCKS
    blocks = (y - fitted)[: size * _BLOCKS].reshape(_BLOCKS, size)
    rng = np.random.default_rng(0)
    slopes = [
        np.polyfit(
            x[: blocks.size],
            fitted[: blocks.size] + blocks[rng.integers(0, _BLOCKS, _BLOCKS)].ravel(),
            1,
        )[0]
        for _ in range(_RESAMPLES)
    ]
    low, high = np.percentile(slopes, [2.5, 97.5])
    return {"slope": float(line[0]), "low": float(low), "high": float(high)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--track", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    at, held = sampled(options)
    fitted = slope(at, held)
    report = {
        "machine": machine(2).model_dump(mode="json"),
        "model": options.model.name,
        "frames": options.frames,
        "tracked": options.track,
        "seconds": round(time.monotonic() - began, 1),
        "rss_mb": {
            "after_a_tenth": round(held[len(held) // 10] / 1e6, 2),
            "end": round(held[-1] / 1e6, 2),
            "least": round(min(held[len(held) // 10 :]) / 1e6, 2),
            "most": round(max(held[len(held) // 10 :]) / 1e6, 2),
        },
        "bytes_a_frame": {name: round(value, 2) for name, value in fitted.items()},
        "distinguishable_from_0": not fitted["low"] <= 0 <= fitted["high"],
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

"""What a frame costs with preprocessing in the graph, in turns with the model as it was.

    python benchmarks/bake_preprocess.py PICTURES MODEL.onnx:1920x1080 [MODEL.onnx:640x360 ...]

Each model is baked in both layouts. Each round takes one picture, brought to the size of a source,
on every form in changing order: before the network, and in it, on ``--engine`` and one thread.
Prints JSON: medians of CPU time in ms, which other load moves less than the clock, and the medians
of the rounds' differences and ratios to the model as it was.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import cv2

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.baking import BakingConfig
from edgecv_cli.core.context import Context
from edgecv_cli.inference.predictor import Predictor, open_predictor
from edgecv_cli.measure.hardware import machine
from edgecv_cli.media.images import read_image
from edgecv_cli.media.listing import list_files
from edgecv_cli.stages.baking import bake

_PICTURES = 8


class Form:
    """One form of a model, ready to run."""

    def __init__(self, artifact: Artifact, engine: str) -> None:
        spec = artifact.detector().spec
        self.predictor: Predictor = open_predictor(artifact, spec, engine=engine, threads=1)

    def once(self, picture: Any) -> tuple[float, float]:
        """Return milliseconds of CPU time before and in the network."""
        began = time.process_time()
        self.predictor.prepare(picture)
        prepared = time.process_time()
        self.predictor.infer()
        done = time.process_time()
        return (prepared - began) * 1e3, (done - prepared) * 1e3


def study(case: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    model, _, size = case.rpartition(":")
    wide, tall = (int(side) for side in size.split("x"))
    paths = list_files(options.pictures)[:_PICTURES]
    pictures = [cv2.resize(read_image(path), (wide, tall)) for path in paths]
    given = Artifact.open(Path(model))
    forms = {"as_it_was": Form(given, options.engine)}
    said = {}
    for layout in ("nchw", "nhwc"):
        place = folder / f"{given.path.stem}-{layout}"
        place.mkdir()
        made = bake(
            BakingConfig(bake_preprocess=True, bake_layout=layout),
            given,
            given.detector().spec,
            paths,
            folder=place,
            context=Context(),
        )
        forms[layout] = Form(made.artifact, options.engine)
        said[layout] = str(made.said)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in forms}
    for turn in range(options.rounds):
        names = list(forms) if turn % 2 else list(forms)[::-1]
        for name in names:
            times[name].append(forms[name].once(pictures[turn % len(pictures)]))
    for form in forms.values():
        form.predictor.close()
    return {"model": given.path.name, "source": size, "baked": said, **summary(times)}


def summary(times: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    sums = {name: [sum(one) for one in rows] for name, rows in times.items()}
    first = sums["as_it_was"]
    return {
        "rounds": len(first),
        "cpu_ms": {
            name: {
                "before_network": round(median(one[0] for one in rows), 3),
                "network": round(median(one[1] for one in rows), 3),
                "both": round(median(sums[name]), 3),
            }
            for name, rows in times.items()
        },
        "more": {
            name: round(median(b - a for a, b in zip(first, rows, strict=True)), 3)
            for name, rows in sums.items()
        },
        "ratio": {
            name: round(median(b / a for a, b in zip(first, rows, strict=True)), 3)
            for name, rows in sums.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("cases", nargs="+", metavar="MODEL:WxH")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [study(case, options, Path(folder)) for case in options.cases]
    made = machine(1).model_dump(mode="json")
    print(json.dumps({"engine": options.engine, "machine": made, "cases": rows}, indent=1))


if __name__ == "__main__":
    main()

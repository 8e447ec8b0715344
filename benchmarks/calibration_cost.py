"""What calibration costs: seconds and peak memory of edgecv and its peers, against a plain run.

    python benchmarks/calibration_cost.py MODEL.onnx ... --calibration IMAGES [--images 128]

Every row is a process of its own on the same images: decode, letterbox, then

- plain run: ONNX Runtime on the normalised float graph
- edgecv: ranges and Q/DQ insertion (no search, correction or gate)
- ORT min-max, ORT percentile: `onnxruntime.quantization.quantize_static`; percentile keeps all
  activations of all images, so that it gets few images unless --percentile-images says more
- NNCF: `nncf.quantize` on ONNX, if nncf is installed

Prints a Markdown table; "x plain" is against the plain run on as many images.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.evidence import gather, read_topology
from edgecv_cli.compress.quantization.propose import propose
from edgecv_cli.compress.quantization.recipe import Recipe
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.core.context import Context
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import serialize
from edgecv_cli.inference.calibration import CalibrationFeed
from edgecv_cli.measure.footprint import peak_rss_bytes
from edgecv_cli.media.images import open_images
from edgecv_cli.runtime.opening import open_runner

ROWS = ("plain run", "edgecv", "ORT min-max", "ORT percentile", "NNCF")
_MB = 1e6


class Case:
    """One model with its images."""

    def __init__(self, model: Path, images: Path, count: int, threads: int) -> None:
        """Read the model and list the images."""
        self.artifact = Artifact.open(model)
        self.spec = self.artifact.detector().spec
        self.topology = read_topology(self.artifact, None)
        self.paths = open_images(images, count).paths
        self.threads = threads

    def feeds(self) -> CalibrationFeed:
        """Return the images as the detector is fed them."""
        inputs = input_specs(self.topology.model)
        return CalibrationFeed(self.paths, inputs, self.spec, Context())

    def normalised(self, folder: Path) -> Path:
        """Write the normalised float graph."""
        path = folder / "float.onnx"
        path.write_bytes(serialize(self.topology.model))
        return path


def run_plain(case: Case, folder: Path) -> float:
    """Return the seconds of running the images, with loading the model."""
    path = case.normalised(folder)
    started = time.perf_counter()
    runner = open_runner(Artifact.open(path), "onnxruntime", case.threads)
    for feed in case.feeds():
        runner.infer(feed)
    return time.perf_counter() - started


def run_edgecv(case: Case, folder: Path) -> float:
    """Return the seconds of ranges and Q/DQ insertion."""
    started = time.perf_counter()
    evidence = gather(
        case.artifact,
        case.topology,
        case.spec,
        case.paths,
        input_size=None,
        engine="onnxruntime",
        threads=case.threads,
        context=Context(),
    )
    plan = propose(
        case.topology,
        evidence.observed,
        Recipe("all", "mean-minmax"),
        resolve_target("generic"),
        source=evidence.source,
        input_size=None,
    )
    (folder / "int8.onnx").write_bytes(serialize(apply_normalised(case.topology, plan)))
    return time.perf_counter() - started


def run_stock(case: Case, folder: Path, method: str) -> float:
    """Return the seconds of ONNX Runtime's own static quantization."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds: Iterator[Any] = iter(case.feeds())

        def get_next(self) -> dict[str, Any] | None:
            feed = next(self._feeds, None)
            return None if feed is None else {name: part.copy() for name, part in feed.items()}

    path = case.normalised(folder)
    started = time.perf_counter()
    quantize_static(
        path, folder / "int8.onnx", Reader(), calibrate_method=CalibrationMethod[method]
    )
    return time.perf_counter() - started


def run_nncf(case: Case, folder: Path) -> float:  # noqa: ARG001
    """Return the seconds of NNCF's post-training quantization of the ONNX graph."""
    nncf: Any = importlib.import_module("nncf")
    started = time.perf_counter()
    feeds = [{name: part.copy() for name, part in feed.items()} for feed in case.feeds()]
    nncf.quantize(case.topology.model, nncf.Dataset(feeds), subset_size=len(feeds))
    return time.perf_counter() - started


def runs() -> dict[str, Callable[[Case, Path], float]]:
    """Return what each row runs."""
    return {
        "plain run": run_plain,
        "edgecv": run_edgecv,
        "ORT min-max": lambda case, folder: run_stock(case, folder, "MinMax"),
        "ORT percentile": lambda case, folder: run_stock(case, folder, "Percentile"),
        "NNCF": run_nncf,
    }


def child(options: argparse.Namespace) -> None:
    """Run one row and print its figures as JSON."""
    case = Case(options.models[0], options.calibration, options.images, options.threads)
    with tempfile.TemporaryDirectory() as folder:
        seconds = runs()[options.row](case, Path(folder))
    figures = {"seconds": seconds, "peak": peak_rss_bytes(), "images": len(case.paths)}
    print("figures", json.dumps(figures))


def measure(options: argparse.Namespace, model: Path, row: str, images: int) -> dict[str, Any]:
    """Run one row in a process of its own; return its figures, or what went wrong."""
    command = [sys.executable, __file__, str(model), "--row", row, "--images", str(images)]
    command += ["--calibration", str(options.calibration), "--threads", str(options.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("figures "):
            figures: dict[str, Any] = json.loads(line.removeprefix("figures "))
            return figures
    said = done.stderr.strip().splitlines()
    return {"problem": said[-1][:80] if said else f"ended with {done.returncode}"}


def table(options: argparse.Namespace) -> None:
    """Print the table, row by row as they are measured."""
    print(f"{platform.processor() or platform.machine()}, {options.threads} thread(s)\n")
    print("| model | run | images | seconds | x plain | peak RSS, MB |")
    print("|---|---|---|---|---|---|")
    for model in options.models:
        plain: dict[int, dict[str, Any]] = {}
        for row in options.rows:
            images = options.images
            if row == "ORT percentile":
                images = min(images, options.percentile_images)
            if row == "NNCF" and importlib.util.find_spec("nncf") is None:
                print(f"| {model.stem} | NNCF | | not installed | | |")
                continue
            if images not in plain:
                plain[images] = measure(options, model, "plain run", images)
            figures = plain[images] if row == "plain run" else measure(options, model, row, images)
            if "problem" in figures:
                print(f"| {model.stem} | {row} | {images} | {figures['problem']} | | |")
                continue
            ratio = figures["seconds"] / plain[images].get("seconds", float("nan"))
            print(
                f"| {model.stem} | {row} | {figures['images']} | {figures['seconds']:.1f} "
                f"| {ratio:.2f} | {figures['peak'] / _MB:.0f} |",
                flush=True,
            )


def main() -> None:
    """Measure the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument(
        "--percentile-images", type=int, default=20, help="ORT percentile keeps every activation"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        child(options)
    else:
        table(options)


if __name__ == "__main__":
    main()

"""What a search knows of a float model: its graph, its ranges, and what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.grids import tensors_of
from edgecv_cli.compress.quantization.observe import Feed, Observations, observe
from edgecv_cli.compress.quantization.placement import Glue, distinct_placements, place
from edgecv_cli.compress.quantization.requantize import require_float
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.scratch import scratch
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology
from edgecv_cli.inference.calibration import CalibrationFeed
from edgecv_cli.measure.footprint import peak_rss_bytes, reset_peak_rss
from edgecv_cli.runtime.opening import open_runner

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """Everything that proposing a plan looks at.

    Attributes:
        source: content digest of the float model.
        observed: activation statistics.
        used, skipped: images that were looked at, and those that could not be decoded.
        seconds: time that observing took.
        peak_rss_bytes: largest resident set of this process meanwhile, or None.
    """

    source: str
    topology: Topology
    spec: DetectorSpec
    input_size: tuple[int, int] | None
    observed: Observations
    used: tuple[Path, ...]
    skipped: tuple[str, ...]
    seconds: float
    peak_rss_bytes: int | None


def read_topology(artifact: Artifact, input_size: tuple[int, int] | None) -> Topology:
    """Normalise a float model and analyse it.

    Raises:
        ModelError: the model is quantized already, or has no layer that could run in integers.
    """
    require_float(artifact, input_size)
    topology = Topology.of(normalise(artifact.model, input_size=input_size))
    if not distinct_placements(topology):
        raise ModelError(
            f"'{artifact.path}' has no layer with stored weights that could run in 8 bits",
            remedy="run `edgecv inspect` to see what the model holds",
        )
    return topology


def gather(
    artifact: Artifact,
    topology: Topology,
    spec: DetectorSpec,
    paths: Sequence[Path],
    *,
    input_size: tuple[int, int] | None,
    engine: str,
    threads: int | None,
    context: Context,
) -> Evidence:
    """Run the calibration images through the float graph once and take its statistics.

    Raises:
        DataError: no image can be decoded.
        InterruptedByUser: the run was cancelled.
    """
    feed = CalibrationFeed(paths, input_specs(topology.model), spec, context)
    tensors = _tensors(topology)
    reset = reset_peak_rss()
    started = time.perf_counter()
    with scratch() as folder, ExitStack() as stack:
        observed = observe(
            topology,
            feed,
            tensors=tensors,
            open_model=_opener(folder, engine, threads, stack),
            context=context,
        )
    return Evidence(
        source=artifact.content_digest,
        topology=topology,
        spec=spec,
        input_size=input_size,
        observed=observed,
        used=tuple(feed.used),
        skipped=tuple(feed.skipped),
        seconds=time.perf_counter() - started,
        peak_rss_bytes=peak_rss_bytes() if reset else None,
    )


def _tensors(topology: Topology) -> list[str]:
    """Return every tensor that a grid may be asked for, whatever the target."""
    found: dict[str, None] = {}
    for glue in get_args(Glue):
        nodes = place(topology, "all", glue=glue).nodes
        found.update(dict.fromkeys(tensors_of(topology, nodes, glue)))
    return list(found)


def _opener(
    folder: Path, engine: str, threads: int | None, stack: ExitStack
) -> Callable[[bytes], Callable[[Feed], list[Array]]]:
    def open_model(data: bytes) -> Callable[[Feed], list[Array]]:
        path = folder / "observed.onnx"
        path.write_bytes(data)
        runner = open_runner(Artifact.open(path), engine, threads)
        stack.callback(runner.close)
        order = [value.name for value in runner.outputs]

        def infer(feed: Feed) -> list[Array]:
            outputs = runner.infer(feed)
            return [outputs[key] for key in order]

        return infer

    return open_model

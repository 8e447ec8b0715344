"""Golden inputs, what the model makes of them, and how far an engine may be off.

The expected outputs are ONNX Runtime's, with Q/DQ as it is written. How far off is measured where
that can be: the same model is run once more with the rounding that an engine has too (float16, or
this machine's integer kernels), and an engine may have ten times that noise, or that of quantizing.
An engine that is built of the float graph and a calibration cache rounds elsewhere than Q/DQ says:
it may have ten times the noise of quantizing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.float_forms import to_fp16
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError, EngineError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.blocks import role_columns
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.spec import DetectorSpec, OutputTensor
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.quantized import is_quantized
from edgecv_cli.graph.topology import Topology
from edgecv_cli.measure.parity import pictures_for
from edgecv_cli.measure.signal import Apart
from edgecv_cli.runtime.base import Runner
from edgecv_cli.runtime.opening import open_runner

_PICTURES = 3
_MARGIN_DB = 10.0  # ten times the noise
_FLOOR_DB = 10.0
_CEILINGS_DB = {"int8": 25.0, "half": 45.0}
_SELECTED = frozenset({"score", "label", "image", "count"})

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class _Part:
    """Columns of an output that are measured together; the whole where ``axis`` is None."""

    name: str
    axis: int | None
    columns: slice
    why: str | None = None

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        if self.axis is None:
            return array
        place: list[slice] = [slice(None)] * array.ndim
        place[self.axis] = self.columns
        return array[tuple(place)]


def write_golden(
    artifact: Artifact,
    spec: DetectorSpec,
    folder: Path,
    *,
    images: Sequence[Path],
    threads: int | None,
    scratch: Path,
    plain: Path | None,
    context: Context,
) -> dict[str, Any]:
    """Write ``golden_inputs.npz`` and ``expected_outputs.npz``; returns what the manifest says.

    Args:
        artifact: the model that an engine is built of.
        spec: how it is fed and read.
        folder: where the two files go.
        images: pictures to feed; without any they are drawn.
        threads: of ONNX Runtime.
        scratch: where a rounded form of the model may stand for a while.
        plain: the float graph of a quantized model, if there is one.
        context: seed and cancellation.

    Raises:
        EngineError, DataError: the model can't be run, or a picture can't be read.
    """
    pictures, source = pictures_for(images[:_PICTURES], spec, context.seed)
    runner = open_runner(artifact, threads=threads, exact=True)
    try:
        feeds = list(_feeds(runner, spec, pictures[:_PICTURES]))
        expected = _run(runner, feeds, context)
        inputs, outputs = runner.inputs, runner.outputs
    finally:
        runner.close()
    rounded = _rounded(artifact, feeds, threads, scratch, context)
    whole = [] if plain is None else _once_more(Artifact.open(plain), feeds, threads, context)
    ceiling = _CEILINGS_DB["int8" if is_quantized(artifact.model) else "half"]
    _save(folder / "golden_inputs.npz", "input", [one.name for one in inputs], feeds)
    _save(folder / "expected_outputs.npz", "output", [one.name for one in outputs], expected)
    return {
        "pictures": len(feeds),
        "source": source,
        "inputs": [_named("input", place, one) for place, one in enumerate(inputs)],
        "outputs": [
            {
                **_named("output", place, one),
                "parts": [
                    _limit(part, one.name, (expected, rounded, whole), ceiling)
                    for part in _parts(one, spec)
                ],
            }
            for place, one in enumerate(outputs)
        ],
        "rounding": "measured here" if rounded else "not measured",
    }


def _feeds(
    runner: Runner, spec: DetectorSpec, pictures: Sequence[NDArray[np.uint8]]
) -> Iterator[Arrays]:
    feed = InputFeed(runner.inputs, spec)
    for picture in pictures:
        feed.fill(picture)
        yield {name: array.copy() for name, array in feed.feeds.items()}


def _run(runner: Runner, feeds: Sequence[Arrays], context: Context) -> list[Arrays]:
    found = []
    for feed in feeds:
        context.cancel.check()
        found.append({name: value.copy() for name, value in runner.infer(feed).items()})
    return found


def _rounded(
    artifact: Artifact,
    feeds: Sequence[Arrays],
    threads: int | None,
    scratch: Path,
    context: Context,
) -> list[Arrays]:
    """Run the model with the rounding of an engine; empty where that can't be done here."""
    try:
        chosen = artifact
        if not is_quantized(artifact.model):
            path = scratch / "half.onnx"
            path.write_bytes(serialize(to_fp16(Topology.of(normalise(artifact.model)))))
            chosen = Artifact.open(path)
    except EdgeCVError:  # there is no such form of this model
        return []
    return _once_more(chosen, feeds, threads, context)


def _once_more(
    artifact: Artifact, feeds: Sequence[Arrays], threads: int | None, context: Context
) -> list[Arrays]:
    """Run another form of the model; empty where ONNX Runtime does not take it."""
    try:
        runner = open_runner(artifact, threads=threads)
    except EngineError:
        return []
    try:
        return _run(runner, feeds, context)
    finally:
        runner.close()


def _named(word: str, place: int, tensor: TensorSpec) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "key": f"{word}_{place}",
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
    }


def _save(path: Path, word: str, names: Sequence[str], rows: Sequence[Arrays]) -> None:
    """Write plain arrays [pictures, ...]; numpy dates the entries 1980, so that bytes repeat."""
    arrays = {
        f"{word}_{place}": np.stack([row[name] for row in rows]) for place, name in enumerate(names)
    }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type] # the names are arrays'


def _parts(tensor: TensorSpec, spec: DetectorSpec) -> list[_Part]:
    """Return what is measured apart: a role each where a tensor holds several in one axis."""
    whole = slice(None)
    if not tensor.dtype.startswith("float"):
        return [_Part("", None, whole, "whole numbers are not compared")]
    known = next((one for one in spec.outputs.tensors if one.name == tensor.name), None)
    if known is None:
        return [_Part("", None, whole)]
    if _SELECTED & {role for one in spec.outputs.tensors for role in one.holds}:
        return [_Part("", None, whole, "boxes selected in the graph may change places")]
    axes = known.axes.split(",")
    if len(known.holds) < 2 or "c" not in axes:
        return [_Part("", None, whole)]
    return [_Part(role, axes.index("c"), columns) for role, columns in _columns(known, spec)]


def _columns(tensor: OutputTensor, spec: DetectorSpec) -> list[tuple[str, slice]]:
    return [(role, columns) for role, columns in role_columns(tensor, spec).items()]


def _limit(
    part: _Part,
    name: str,
    runs: tuple[Sequence[Arrays], Sequence[Arrays], Sequence[Arrays]],
    ceiling: float,
) -> dict[str, Any]:
    """Return a part as the manifest has it, with the least signal-to-noise ratios in decibels.

    Args:
        part: what is measured.
        name: of the output.
        runs: what the model, its rounded form and its float graph gave; empty: was not run.
        ceiling: what is asked for at most, in decibels.
    """
    expected, rounded, whole = runs
    about: dict[str, Any] = {"name": part.name, "axis": part.axis, "columns": None}
    if part.axis is not None:
        about["columns"] = [part.columns.start, part.columns.stop]
    if part.why is not None:
        return {**about, "least_db": None, "why": part.why}
    least, measured = _least(part, name, expected, rounded, ceiling)
    calibrated, cost = _least(part, name, expected, whole, ceiling)
    if cost is not None:  # what falls to the other side of a step costs less than quantizing did
        least = min(least, round(max(_FLOOR_DB, cost), 1))
    limits = {"least_db": least, "least_db_calibrated": calibrated}
    return {**about, **limits, "rounding_db": measured}


def _least(
    part: _Part,
    name: str,
    expected: Sequence[Mapping[str, NDArray[Any]]],
    other: Sequence[Mapping[str, NDArray[Any]]],
    ceiling: float,
) -> tuple[float, float | None]:
    """Return how many decibels are asked for, and those of another form of the model."""
    apart = Apart()
    for first, second in zip(expected, other, strict=False):
        if first[name].shape == second[name].shape:
            apart.add(part.of(first[name]), part.of(second[name]))
    measured = apart.decibels
    least = ceiling if measured is None else min(ceiling, max(_FLOOR_DB, measured - _MARGIN_DB))
    return round(least, 1), measured

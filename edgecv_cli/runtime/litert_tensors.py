"""Find the tensors of a network in the file that a converter made of it, by their numbers.

Converters rename tensors, move their axes and leave some out. What a network makes of one picture
is known on both sides: tensors of the same size whose least, greatest, mean and mean square agree
are the same, or hold the same numbers, and then one range serves both.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.require import require
from edgecv_cli.graph.litert_bundle import Port
from edgecv_cli.runtime.litert import PACKAGE, stored_as

_ALIKE = 1e-3  # of a tensor's largest magnitude
Array = NDArray[Any]
Marks = tuple[float, float, float, float]


def tensors_alike(
    path: Path,
    inputs: Iterable[Port],
    feeds: Mapping[str, Array],
    known: Mapping[str, Array],
    threads: int,
) -> dict[str, str]:
    """Return which tensor of a network each tensor of a file is.

    Args:
        path: a plain .tflite file in float.
        inputs: how it is fed.
        feeds: what the network was fed.
        known: the network's tensors, as it made them of that.
        threads: of the interpreter.

    Returns:
        The file's names to the network's. What agrees with none is left out.

    Raises:
        EngineError: LiteRT can't run it.
    """
    by_size: dict[int, list[tuple[str, Marks]]] = {}
    for name, value in known.items():
        by_size.setdefault(value.size, []).append((name, _marks(value)))
    found = {}
    for name, value in _tensors(path, inputs, feeds, threads):
        offers = by_size.get(value.size, [])
        marks = _marks(value)
        apart = [(_apart(marks, held), original) for original, held in offers]
        if apart and min(apart)[0] < _ALIKE:
            found[name] = min(apart)[1]
    return found


def _tensors(
    path: Path, inputs: Iterable[Port], feeds: Mapping[str, Array], threads: int
) -> list[tuple[str, Array]]:
    litert = require("ai_edge_litert.interpreter", pip=PACKAGE, why="the engine litert")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that all tensors are kept is meant
            interpreter = litert.Interpreter(
                model_path=str(path), num_threads=threads, experimental_preserve_all_tensors=True
            )
        interpreter.allocate_tensors()
        details = interpreter.get_input_details()
        for port in inputs:
            detail = details[port.position]
            value = feeds[port.name].transpose(np.argsort(port.order))
            interpreter.set_tensor(detail["index"], stored_as(value, detail))
        interpreter.invoke()
    except (RuntimeError, ValueError, TypeError) as error:
        raise EngineError(
            f"LiteRT failed to run the converted file: {' '.join(str(error).split())[:300]}",
            remedy="convert with --precision fp32",
        ) from error
    made = []
    for detail in interpreter.get_tensor_details():
        try:
            value = np.asarray(interpreter.get_tensor(detail["index"]))
        except ValueError:
            continue  # nothing was worked out for it
        if value.dtype == np.float32 and value.size:
            made.append((str(detail["name"]), value))
    return made


def _marks(value: Array) -> Marks:
    wide = value.astype(np.float64).ravel()
    return (
        float(wide.min()),
        float(wide.max()),
        float(wide.mean()),
        float(np.sqrt((wide**2).mean())),
    )


def _apart(first: Marks, second: Marks) -> float:
    size = max(abs(second[0]), abs(second[1]), 1e-12)
    return max(abs(a - b) for a, b in zip(first, second, strict=True)) / size

"""Find where a converter put the original's tensors: which output, and its axes in which order.

Converters move channels to the end, reorder outputs and rename them. Nothing of that is taken on
trust: both networks are run on one picture, and values decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import EngineError, ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.graph.litert_bundle import Port
from edgecv_cli.runtime.litert import open_interpreter, real_of, stored_as

_CHANNELS_LAST = (0, 3, 1, 2)
_WRONG = (
    "the converter gave no error, and its file gives other numbers than the original; convert "
    "with --decode outside, or run the .onnx itself"
)
Array = NDArray[Any]


def input_ports(path: Path, inputs: Sequence[TensorSpec], threads: int) -> tuple[Port, ...]:
    """Say how a file's inputs lie, by their shapes; running it will tell whether that is so.

    Raises:
        ModelError: it takes other inputs than the original.
        EngineError: LiteRT can't load it.
    """
    details = open_interpreter(str(path), threads).get_input_details()
    if len(details) != len(inputs):
        raise ModelError(
            f"the converted file takes {len(details)} inputs, the original {len(inputs)}",
            remedy=_WRONG,
        )
    ports = []
    for place, (spec, detail) in enumerate(zip(inputs, details, strict=True)):
        shape = tuple(int(size) for size in detail["shape"])
        orders: list[tuple[int, ...]] = [_CHANNELS_LAST] if len(shape) == 4 else []
        orders += [tuple(range(len(shape)))]
        fits = [order for order in orders if tuple(shape[axis] for axis in order) == spec.shape]
        if not fits:
            raise ModelError(f"input {spec} became {list(shape)}", remedy=_WRONG)
        ports.append(_port(spec, place, fits[0]))
    return tuple(ports)


def output_ports(
    path: Path,
    inputs: Sequence[Port],
    feeds: Mapping[str, Array],
    wanted: Mapping[str, Array],
    threads: int,
) -> tuple[Port, ...]:
    """Say where the original's outputs are, and how their axes lie, by running the file.

    Args:
        path: a plain .tflite file.
        inputs: how it is fed.
        feeds: what the original was fed.
        wanted: what the original gave.
        threads: of the interpreter.

    Raises:
        ModelError: an output is not there, or its numbers are others.
        EngineError: LiteRT can't run it.
    """
    return matched(wanted, run_plain(path, inputs, feeds, threads))


def run_plain(
    path: Path, inputs: Sequence[Port], feeds: Mapping[str, Array], threads: int
) -> list[Array]:
    """Run a file once and return what it gives, as real numbers, in its own layout."""
    interpreter = open_interpreter(str(path), threads)
    details = interpreter.get_input_details()
    for port in inputs:
        value = feeds[port.name].transpose(np.argsort(port.order))
        detail = details[port.position]
        interpreter.set_tensor(detail["index"], stored_as(value, detail))
    try:
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        raise EngineError(
            f"LiteRT failed to run the converted file: {' '.join(str(error).split())[:300]}",
            remedy="convert with --precision fp32, or with --decode outside",
        ) from error
    outputs = interpreter.get_output_details()
    return [real_of(interpreter.get_tensor(one["index"]), one) for one in outputs]


def matched(wanted: Mapping[str, Array], found: Sequence[Array]) -> tuple[Port, ...]:
    """Give every wanted tensor the one that lies closest to it, each once.

    Raises:
        ModelError: none has its sizes, or the closest is further away than zeros would be.
    """
    offers = sorted(
        (_distance(target, value.transpose(order)), name, place, order)
        for name, target in wanted.items()
        for place, value in enumerate(found)
        for order in _orders(value.shape, target.shape)
    )
    ports: dict[str, Port] = {}
    taken: set[int] = set()
    for distance, name, place, order in offers:
        if name in ports or place in taken or not distance < 1:
            continue
        taken.add(place)
        ports[name] = _port(_spec(name, wanted[name]), place, order)
    for name, target in wanted.items():
        if name not in ports:
            raise ModelError(
                f"no output of the converted file has the numbers of {name} {list(target.shape)}: "
                f"it gives {', '.join(str(list(value.shape)) for value in found)}",
                remedy=_WRONG,
            )
    return tuple(ports[name] for name in wanted)


def _orders(shape: tuple[int, ...], wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return every order of axes that turns one shape into the other."""
    if sorted(shape) != sorted(wanted):
        return []
    every = permutations(range(len(shape)))
    return [order for order in every if tuple(shape[axis] for axis in order) == wanted]


def _distance(target: Array, value: Array) -> float:
    """Return the difference as a part of the target (L2); infinite where it is not finite."""
    a, b = target.astype(np.float64), value.astype(np.float64)
    size = float(np.linalg.norm(a)) or 1.0
    apart = float(np.linalg.norm(a - b)) / size
    return apart if np.isfinite(apart) else float("inf")


def _spec(name: str, value: Array) -> TensorSpec:
    return TensorSpec(name, value.shape, value.dtype.name)


def _port(spec: TensorSpec, place: int, order: tuple[int, ...]) -> Port:
    shape = tuple(size or 1 for size in spec.shape)
    return Port(name=spec.name, shape=shape, dtype=spec.dtype, position=place, order=order)

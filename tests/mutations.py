"""Damaged and hostile variants of tiny detectors, by seed; run as a script, it tries them.

    python mutations.py FIRST COUNT FOLDER

opens each variant as edgecv does and prints one JSON object: what came of it, by kind. It is a
process of its own because what it looks for are crashes below Python, hangs and allocations.
"""

from __future__ import annotations

import functools
import json
import random
import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import models
import onnx

MEMORY = 3 * 1024**3
SECONDS = 20.0
EXTREMES = (0, -1, 1, 2, 3, 1000, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, -(2**62), 2**63 - 1)
OTHER_OPS = ("Shape", "Expand", "Range", "ConstantOfShape", "Tile", "Resize", "Pad", "Gather",
             "Split", "Loop", "Identity", "Reshape", "Nonsense", "Einsum", "Slice")  # fmt: skip


@functools.cache
def _bases() -> tuple[onnx.ModelProto, ...]:
    return (
        models.yolov8(),
        models.yolox(),
        models.ssd(),
        models.yolov8(dynamic="size"),
        models.classifier(),
        models.end_to_end(),
    )


def _flip_bytes(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)


def _flip_in_nodes(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 4)):  # nodes stand before the weights
        data[rng.randrange(min(len(data), 9000))] = rng.randrange(256)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:start] = data[start : start + rng.randrange(1, 200)]


def _stored_shape(model: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice([part for part in model.graph.initializer if part.dims])
    tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(EXTREMES)


def _stored_numbers(model: onnx.ModelProto, rng: random.Random) -> None:
    numbers = [part for part in model.graph.initializer if part.data_type == 7 and part.raw_data]
    if numbers:
        tensor = rng.choice(numbers)
        data = bytearray(tensor.raw_data)
        struct.pack_into("<q", data, 8 * rng.randrange(len(data) // 8), rng.choice(EXTREMES))
        tensor.raw_data = bytes(data)


def _type(model: onnx.ModelProto, rng: random.Random) -> None:
    rng.choice(model.graph.initializer).data_type = rng.randrange(30)


def _attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    lists = [part for node in model.graph.node for part in node.attribute if part.ints]
    found = rng.choice(lists)
    found.ints[rng.randrange(len(found.ints))] = rng.choice(EXTREMES)


def _number(model: onnx.ModelProto, rng: random.Random) -> None:
    numbers = [part for node in model.graph.node for part in node.attribute if part.HasField("i")]
    if numbers:
        rng.choice(numbers).i = rng.choice(EXTREMES)


def _operator(model: onnx.ModelProto, rng: random.Random) -> None:
    rng.choice(model.graph.node).op_type = rng.choice(OTHER_OPS)


def _wire(model: onnx.ModelProto, rng: random.Random) -> None:
    names = [name for node in model.graph.node for name in node.output]
    node = rng.choice([node for node in model.graph.node if node.input])
    node.input[rng.randrange(len(node.input))] = rng.choice([*names, "", "nowhere"])


def _interface(model: onnx.ModelProto, rng: random.Random) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output])
    dims = value.type.tensor_type.shape.dim
    what = rng.randrange(5)
    if what == 0:
        value.type.Clear()
    elif what == 1:
        value.type.tensor_type.elem_type = rng.randrange(30)
    else:
        dims[rng.randrange(len(dims))].dim_value = rng.choice(EXTREMES)


def _versions(model: onnx.ModelProto, rng: random.Random) -> None:
    model.opset_import[0].version = rng.choice([0, 1, 9, 11, 13, 21, 100, -1, 2**62])


def _lose(model: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    what = rng.randrange(4)
    if what == 0:
        model.graph.node.remove(node)
    elif what == 1:
        node.ClearField("input")
    elif what == 2:
        node.ClearField("output")
    else:
        node.ClearField("attribute")


BYTES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip_bytes, _flip_in_nodes, _cut, _repeat,
)  # fmt: skip
FIELDS: tuple[Callable[[onnx.ModelProto, random.Random], None], ...] = (
    _stored_shape, _stored_numbers, _type, _attribute, _number, _operator, _wire, _interface,
    _versions, _lose,
)  # fmt: skip


def mutated(seed: int) -> bytes:
    """A variant of a tiny model: damaged bytes (even seeds) or a hostile field (odd seeds)."""
    rng = random.Random(seed)
    model = onnx.ModelProto()
    model.CopyFrom(_bases()[(seed // 2) % len(_bases())])
    if seed % 2:
        for _ in range(rng.randrange(1, 3)):
            rng.choice(FIELDS)(model, rng)
        return model.SerializeToString()
    data = bytearray(model.SerializeToString())
    rng.choice(BYTES)(data, rng)
    return bytes(data)


def _try(path: Path) -> str:
    from edgecv_cli.artifact.artifact import Artifact
    from edgecv_cli.core.errors import EdgeCVError, ModelError

    artifact = Artifact.open(path)
    try:
        artifact.model  # noqa: B018 - reading it is the test
    except ModelError:
        return "refused"
    try:
        artifact.content_digest, artifact.metadata  # noqa: B018
        artifact.detector()
    except EdgeCVError as error:
        return error.kind
    return "recognised"


def main(first: int, count: int, folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    came: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in range(first, first + count):
        path = folder / "model.onnx"
        path.write_bytes(mutated(seed))
        print(seed, file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            came[_try(path)] += 1
        except Exception as error:
            wrong.append(f"seed {seed}: {type(error).__name__}: {error}"[:300])
        if time.monotonic() - started > SECONDS:
            wrong.append(f"seed {seed}: took too long")
    print(json.dumps({"came": came, "wrong": wrong}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))

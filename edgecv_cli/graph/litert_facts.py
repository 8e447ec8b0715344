"""The facts of a .tflite file: its own interface, or the original's where edgecv converted it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.graph.facts import GraphFacts
from edgecv_cli.graph.facts import input_size as size_of_input
from edgecv_cli.graph.litert_bundle import read_bundle
from edgecv_cli.graph.tflite import LiteModel, LiteTensor, read_tflite

_QUANTIZED = frozenset({"int8", "uint8", "int16"})


def read_litert(path: Path, *, input_size: tuple[int, int] | None = None) -> GraphFacts:
    """Look at a file's interface; its graph is not run, so there is no probed tail.

    Args:
        path: the ``.tflite`` file.
        input_size: [height, width], held against the file's.

    Raises:
        ModelError: the file can't be read or is no LiteRT file.
        UsageError: ``input_size`` contradicts it.
    """
    model = read_tflite(path)
    inputs, outputs = interface(model)
    metadata: dict[str, str] = {}
    bundle = read_bundle(path)
    if bundle is not None:
        inputs = tuple(port.spec for port in bundle.inputs)
        outputs = tuple(TensorSpec(one.name, one.shape, one.dtype) for one in bundle.outputs)
        metadata = dict(bundle.metadata)
    return GraphFacts(
        inputs=inputs,
        outputs=outputs,
        input_size=size_of_input(inputs, input_size),
        opset=0,
        precision=model.precision,
        parameters=model.parameters,
        macs=None,
        op_counts=model.counts,
        metadata=metadata,
        tail=None,
        tail_problem="a LiteRT model's decoding is not looked into",
    )


def interface(model: LiteModel) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return a file's own inputs and outputs; what is quantized counts as float."""
    inputs = tuple(_presented(model.tensors[index]) for index in model.inputs)
    return inputs, tuple(_presented(model.tensors[index]) for index in model.outputs)


def _presented(tensor: LiteTensor) -> TensorSpec:
    quantized = tensor.spec.dtype in _QUANTIZED and tensor.scale
    return replace(tensor.spec, dtype="float32") if quantized else tensor.spec

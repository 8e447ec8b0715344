"""The facts of a Core ML package: its own interface, or the original's where edgecv made it.

A picture of Core ML has pixels of 0 to 255 and no axes; what edgecv converted is presented with
the original's input, whose scaling stands in the package, and with the original's names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.tensors import TensorSpec, is_nhwc
from edgecv_cli.graph.coreml_package import CorePackage, Feature, read_package
from edgecv_cli.graph.coreml_weights import Weights
from edgecv_cli.graph.facts import GraphFacts
from edgecv_cli.graph.facts import input_size as size_of_input

INTERFACE_KEY = "edgecv.interface"
WEIGHTS_KEY = "edgecv.weights"
_KINDS = {"float16": "f", "float32": "f", "float64": "f"}


class Picture(BaseModel):
    """How pixels become an input: ``scale * pixel + offset``, in the channel order ``color``."""

    model_config = ConfigDict(frozen=True)

    color: str
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]


class Port(BaseModel):
    """An input or output of the original, and what it is called in the package.

    Attributes:
        name, shape, dtype: the original's, or those of what its NMS leaves; an axis may be open.
        feature: its name in the package.
        picture: it is fed as a picture: the package itself makes ``scale * pixel + offset`` of
            it, per channel in the network's order; None where it is fed as it is.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    shape: tuple[int | None, ...] = Field(max_length=8)
    dtype: str
    feature: str
    picture: Picture | None = None

    @property
    def spec(self) -> TensorSpec:
        """The original's."""
        return TensorSpec(self.name, self.shape, self.dtype)


class Interface(BaseModel):
    """The original's inputs and outputs."""

    model_config = ConfigDict(frozen=True)

    inputs: tuple[Port, ...] = Field(max_length=64)
    outputs: tuple[Port, ...] = Field(max_length=256)


@dataclass(frozen=True)
class Presented:
    """A package, and the interface by which it is fed and read."""

    package: CorePackage
    interface: Interface


def read_presented(path: Path) -> Presented:
    """Read a package and its interface.

    Raises:
        ModelError: it is damaged, or what is stored of its interface is not what it has.
    """
    package = read_package(path)
    _require_own_weights(package)
    text = package.metadata.get(INTERFACE_KEY)
    if text is None:
        sides = (package.inputs, package.outputs)
        inputs, outputs = (tuple(_as_it_is(one, package) for one in side) for side in sides)
        return Presented(package, Interface(inputs=inputs, outputs=outputs))
    try:
        interface = Interface.model_validate_json(text)
        _require_true(interface, package)
    except (ValidationError, ValueError) as error:
        raise ModelError(
            f"'{path}': what is stored of its interface is damaged ({str(error)[:200]})",
            remedy="convert the .onnx again",
        ) from error
    return Presented(package, interface)


def read_coreml(path: Path, *, input_size: tuple[int, int] | None = None) -> GraphFacts:
    """Look at a package's interface; its program is not run, so there is no probed tail.

    Args:
        path: the ``.mlpackage`` folder.
        input_size: [height, width], held against the package's.

    Raises:
        ModelError: the package can't be read.
        UsageError: ``input_size`` contradicts it.
    """
    presented = read_presented(path)
    package, interface = presented.package, presented.interface
    inputs = tuple(port.spec for port in interface.inputs)
    elements = Weights(package).elements()
    return GraphFacts(
        inputs=inputs,
        outputs=tuple(port.spec for port in interface.outputs),
        input_size=size_of_input(inputs, input_size),
        opset=0,
        precision=_precision(elements),
        parameters=sum(elements.values()),
        macs=None,
        op_counts=package.counts,
        metadata=dict(package.metadata),
        tail=None,
        tail_problem="a Core ML package's decoding is not looked into",
    )


def dump_interface(interface: Interface) -> str:
    """Return the interface as canonical JSON, as a package stores it."""
    plain: dict[str, Any] = interface.model_dump(mode="json", exclude_none=True)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def _require_own_weights(package: CorePackage) -> None:
    """Refuse weights of another package; those that edgecv did not write say nothing."""
    told = package.metadata.get(WEIGHTS_KEY)
    if told is not None and (package.weights is None or sha256_file(package.weights) != told):
        raise ModelError(
            f"'{package.path}' does not hold the weights that it was saved with",
            remedy="convert the .onnx again, or take the whole package from its source again",
        )


def _as_it_is(feature: Feature, package: CorePackage) -> Port:
    spec = feature.spec
    shape = spec.shape if package.suppression else tuple(size or 1 for size in spec.shape)
    picture = None
    if feature.color is not None:
        picture = Picture(color=feature.color, scale=(1, 1, 1), offset=(0, 0, 0))
    return Port(name=spec.name, shape=shape, dtype=spec.dtype, feature=spec.name, picture=picture)


def _require_true(interface: Interface, package: CorePackage) -> None:
    """Hold what is stored against what the package has.

    Raises:
        ValueError: a tensor is missing, or has another shape or kind of number.
    """
    for ports, features in (
        (interface.inputs, package.inputs),
        (interface.outputs, package.outputs),
    ):
        there: Mapping[str, Feature] = {one.spec.name: one for one in features}
        if len(there) != len(ports):
            raise ValueError(f"{len(ports)} tensors are {len(there)}")
        for port in ports:
            feature = there.get(port.feature)
            if feature is None:
                raise ValueError(f"{port.feature} is missing")
            _require_same(port, feature)


def _require_same(port: Port, feature: Feature) -> None:
    held = feature.spec
    shape = port.shape
    if feature.color is not None and len(shape) == 4 and is_nhwc(shape):
        shape = (shape[0], shape[3], shape[1], shape[2])
    pictured = (port.picture is None) == (feature.color is None)
    color = port.picture.color if port.picture else None
    if not pictured or color != feature.color or shape != held.shape:
        raise ValueError(f"{port.spec} is {held} there")
    if feature.color is None and _kind(port.dtype) != _kind(held.dtype):
        raise ValueError(f"{port.spec} is {held} there")


def _kind(dtype: str) -> str:
    """Core ML has no integers but int32, and keeps what is said with them."""
    return _KINDS.get(dtype, "i")


def _precision(elements: Mapping[str, int]) -> str:
    """Go by the type that most weights are stored in."""
    most = next(iter(elements), "float32")
    if most in ("float16", "float32"):
        return "fp16" if most == "float16" else "fp32"
    return "int8"

"""What convert-coreml reports."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.core.result import Part
from edgecv_cli.stages.converting.result import ConversionResult


class UnsupportedOperator(Part):
    """An operator that stops the conversion."""

    operator: str
    nodes: tuple[str, ...] = Field(description="Where it stands in the graph.")
    reason: str | None = Field(
        default=None, description="What stops it, where the converter knows the operator itself."
    )
    remedy: str


class PackagePort(Part):
    """An input or output as an app sees it."""

    name: str = Field(description="In the original.")
    feature: str = Field(description="In the package.")
    shape: tuple[int | None, ...] = Field(description="None: as many as the NMS leaves.")
    dtype: str
    color: str | None = Field(
        default=None, description="Of a picture: the order in which the network has its channels."
    )


class NmsFacts(Part):
    """The NMS behind the detector, as read back."""

    boxes: int = Field(description="How many the detector gives it.")
    classes: int
    iou: float = Field(description="Threshold where an app names none.")
    confidence: float = Field(description="Threshold where an app names none.")
    optional: tuple[str, ...] = Field(description="Inputs that override them.")


class PackageFacts(Part):
    """What was read back from the package."""

    specification: int = Field(description="Version of Core ML's specification.")
    opset: str
    target: str = Field(description="Oldest system that it was made for.")
    inputs: tuple[PackagePort, ...]
    outputs: tuple[PackagePort, ...]
    operators: dict[str, int] = Field(description="Operations by kind, without constants.")
    weights: dict[str, int] = Field(
        description="How many weights of convolutions and matrix products are stored in which type."
    )
    weight_bytes: int = Field(description="Size of the file of weights.")
    constant_bytes: int = Field(
        description="What the constants in it take by shape and type; the rest is alignment."
    )
    layers: int = Field(description="Convolutions and matrix products of the original.")
    matched: int = Field(description="Those of them whose weights were found in the package.")
    farthest: float | None = Field(
        default=None, description="Largest |difference| / |weights| of a layer that was found."
    )
    nms: NmsFacts | None = None
    verify_with: str = Field(description="What to type on macOS to compare the numbers.")


class ConvertCoremlResult(ConversionResult):
    """A Core ML package and what was found in it."""

    schema_: str = Field(
        default="edgecv.convert-coreml/1", serialization_alias="schema", validation_alias="schema"
    )
    bits: int | None = Field(default=None, description="Of a palette's index.")
    unsupported: tuple[UnsupportedOperator, ...] = ()
    package: PackageFacts | None = None

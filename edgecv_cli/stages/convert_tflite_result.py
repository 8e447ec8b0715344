"""What convert-tflite reports."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgecv_cli.core.result import Part
from edgecv_cli.graph.edgetpu import SOURCE, EdgeTpuReport
from edgecv_cli.stages.converting.result import ConversionResult


class Moved(Part):
    """A tensor that the converter gave another place or another order of axes."""

    name: str = Field(description="In the original; a raw head's, where decoding is outside.")
    shape: tuple[int, ...] = Field(description="In the original.")
    position: int = Field(description="Among the file's inputs or outputs.")
    order: tuple[int, ...] = Field(
        description="The file's axes, in the original's order: transposed by this, its tensor is "
        "the original's."
    )


class OnCpu(Part):
    """Operators that an Edge TPU leaves to the CPU."""

    operator: str
    count: int
    first: int = Field(description="Place of the first in the graph, from 0.")
    reason: str


class Compiled(Part):
    """What ``edgetpu_compiler`` made."""

    version: str | None = None
    path: str | None = Field(default=None, description="Absent where nothing was saved.")
    sha256: str
    size_bytes: int
    said: tuple[str, ...] = Field(description="Its summary, line by line.")


class Coral(Part):
    """How far a Coral Edge TPU would get, read from the file."""

    fits: bool = Field(description="All of it, as far as the published list says.")
    full_int8: bool
    static_shapes: bool
    operators: int
    mapped: int = Field(description="Operators before the first that stays on the CPU.")
    supported: int = Field(description="Operators that are on the list, wherever they stand.")
    unsupported: tuple[OnCpu, ...] = ()
    source: str = SOURCE
    compiled: Compiled | None = None
    compiler: str | None = Field(
        default=None, description="Why it was not compiled, or what the compiler said against it."
    )

    @classmethod
    def of(cls, report: EdgeTpuReport) -> Coral:
        """Return a report as a part of a result."""
        return cls(
            fits=report.fits,
            full_int8=report.full_int8,
            static_shapes=report.static,
            operators=report.operators,
            mapped=report.mapped,
            supported=report.supported,
            unsupported=tuple(
                OnCpu(operator=one.operator, count=one.count, first=one.first, reason=one.reason)
                for one in report.unsupported
            ),
        )


class ConvertTfliteResult(ConversionResult):
    """A LiteRT file and what was measured of it."""

    schema_: str = Field(
        default="edgecv.convert-tflite/1", serialization_alias="schema", validation_alias="schema"
    )
    decode: Literal["inside", "outside"] = Field(
        default="inside",
        description="Where boxes are decoded: by LiteRT, or after it from the raw heads.",
    )
    inputs: tuple[Moved, ...] = ()
    outputs: tuple[Moved, ...] = ()
    coral: Coral | None = Field(default=None, description="Of an int8 file.")

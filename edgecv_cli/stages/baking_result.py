"""What putting preprocessing into the graph reports."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.core.result import Part
from edgecv_cli.measure.parity import Parity


class BakedInput(Part):
    """A graph that takes bytes, against the one that takes prepared pixels."""

    layout: str = Field(description="Of the uint8 input, in BGR order: nchw or nhwc.")
    left: tuple[str, ...] = Field(
        description="Operators left before the network; none: bytes are its first integers."
    )
    why: tuple[str, ...] = Field(default=(), description="Why not everything went into weights.")
    parity: Parity = Field(description="Raw outputs against those on prepared pixels.")
    agreement: float | None = Field(
        default=None, description="Micro-F1 of detections, those on prepared pixels as the truth."
    )
    images: int | None = Field(default=None, description="That agreement was taken on.")

    def __str__(self) -> str:
        left = ", ".join(self.left) if self.left else "nothing"
        apart = "the same" if self.parity.max_abs == 0 else "not compared"
        if self.parity.snr_db is not None:
            apart = f"{self.parity.snr_db:.0f} dB apart"
        agreed = ""
        if self.agreement is not None:
            agreed = f", agreement {self.agreement:.3f} on {self.images} images"
        why = f" ({'; '.join(self.why)})" if self.why else ""
        return (
            f"baked in: uint8 BGR {self.layout}, {left} left before the network"
            f"{why}; outputs on {self.parity.pictures} {self.parity.source} {apart}{agreed}"
        )

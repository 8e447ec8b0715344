"""Names, shapes and element types of a model's inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int | None, ...]
"""One entry per axis; None where a graph leaves it open."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a network.

    Attributes:
        name: the tensor's name in the graph.
        shape: one entry per axis; None where the graph leaves it open.
        dtype: numpy name of the element type, such as ``float32``.
    """

    name: str
    shape: Shape
    dtype: str

    @property
    def is_static(self) -> bool:
        """Whether every axis has a known size."""
        return all(size is not None for size in self.shape)

    def __str__(self) -> str:
        sizes = ",".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype} [{sizes}]"


def is_image(shape: Shape) -> bool:
    """Whether a shape is that of colour pictures: [N, 3, H, W] or [N, H, W, 3]."""
    return len(shape) == 4 and (shape[1] == 3 or is_nhwc(shape))


def is_nhwc(shape: Shape) -> bool:
    """Whether a 4-D image shape has its 3 channels last."""
    return shape[3] == 3 and shape[1] != 3

"""Names, shapes and element types of a model's inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a network.

    Attributes:
        name: the tensor's name in the graph.
        shape: one entry per axis; None where the graph leaves it open.
        dtype: numpy name of the element type, such as ``float32``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def is_static(self) -> bool:
        """Whether every axis has a known size."""
        return all(size is not None for size in self.shape)

    def __str__(self) -> str:
        sizes = ",".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype} [{sizes}]"

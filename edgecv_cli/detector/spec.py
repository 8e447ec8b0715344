"""The detector spec: everything that pre- and post-processing need to know of a model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Family = Literal["yolov8", "yolox", "ssd"]
Resize = Literal["letterbox", "letterbox-topleft", "stretch"]
BoxLayout = Literal["xyxy", "yxyx", "cxcywh"]
Activation = Literal["none", "sigmoid", "softmax"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Frozen):
    """How an image becomes the network's input.

    The pixel (0..255) is divided by ``scale``, then ``mean`` is subtracted and the result
    divided by ``std``, per channel in the network's colour order.
    """

    name: str = ""
    size: tuple[int, int] = Field(default=(640, 640), description="[height, width] in pixels")
    color: Literal["rgb", "bgr"] = "rgb"
    scale: float = Field(default=1.0, gt=0)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resize: Resize = "letterbox"
    pad: int = Field(default=114, ge=0, le=255)
    dtype: Literal["float32"] = "float32"

    @field_validator("std")
    @classmethod
    def _positive(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if any(part <= 0 for part in value):
            raise ValueError("every std must be above 0")
        return value

    @field_validator("size")
    @classmethod
    def _sane(cls, value: tuple[int, int]) -> tuple[int, int]:
        if any(not 8 <= side <= 8192 for side in value):
            raise ValueError("each side must be 8 to 8192 pixels")
        return value


class OutputSpec(_Frozen):
    """Which graph output plays which role.

    Attributes:
        all: one tensor that holds everything, or None.
        boxes, scores: the two tensors, where they are apart.
        channels_last: whether rows are candidates ([1, N, C]) rather than columns ([1, C, N]).
    """

    all: str | None = None
    boxes: str | None = None
    scores: str | None = None
    channels_last: bool = False


class DetectorSpec(_Frozen):
    """A detector, complete enough to be decoded without its original graph.

    Attributes:
        classes: names by class index; where the scores have a background column, it is
            one of them, at index ``background``.
        boxes: the layout of decoded boxes; ``normalized``: 0..1 instead of input pixels.
        decoded: false where boxes are cell offsets and log sizes that still need the grid.
        strides: input pixels per cell, in the order in which the levels follow each other.
        activations: what must still be applied to the scores.
    """

    version: Literal[1] = 1
    family: Family
    input: InputSpec
    outputs: OutputSpec
    classes: tuple[str, ...] = Field(min_length=1)
    boxes: BoxLayout
    normalized: bool = False
    decoded: bool = True
    strides: tuple[int, ...] = ()
    background: int | None = None
    activations: Activation = "none"
    score_threshold: float = Field(default=0.25, ge=0, le=1)
    nms_iou: float = Field(default=0.65, gt=0, le=1)

    def dumps(self) -> str:
        """Return canonical JSON, as stored in an artifact's metadata."""
        import json

        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> DetectorSpec:
        """Read what :meth:`dumps` wrote (pydantic's ValidationError if it is something else)."""
        return cls.model_validate_json(text)

    def replace(self, **changes: Any) -> DetectorSpec:
        """Return a copy with some fields changed, validated again."""
        return DetectorSpec.model_validate({**self.model_dump(), **changes})

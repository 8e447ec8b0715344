"""The detector spec: everything that pre- and post-processing need to know of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Family = Literal[
    "yolov5",
    "yolov8",
    "yolox",
    "yolov6-lite",
    "nanodet",
    "nanodet-plus",
    "picodet",
    "ssd",
    "retina",
    "yunet",
    "fastestdet",
    "yolo-fastestv2",
    "detr",
    "end2end",
    "generic",
]
Resize = Literal["letterbox", "letterbox-topleft", "stretch"]
BoxLayout = Literal["xyxy", "yxyx", "cxcywh", "ltrb"]
Activation = Literal["none", "sigmoid", "softmax"]
BoxCode = Literal[
    "none", "grid", "anchor-square", "anchor-exp", "prior", "distance", "tanh-sigmoid"
]
"""How channels become a box; ``decoding.py`` has the formulas."""
Role = Literal["boxes", "objectness", "scores", "score", "label", "image", "count", "skip"]
"""What columns of an output are; ``score`` and ``label`` are of a box already selected."""
Fed = Literal["input-hw", "input-wh", "ones"]
"""What a second input is fed: the input's height and width, width and height, or ones."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Frozen):
    """How an image becomes the network's input.

    The pixel (0..255) is divided by ``scale``, then ``mean`` is subtracted and the result
    divided by ``std``, per channel in the network's colour order. A ``uint8`` input takes the
    pixel as it is: its scaling is inside the graph.
    """

    name: str = ""
    size: tuple[int, int] = Field(default=(640, 640), description="[height, width] in pixels")
    color: Literal["rgb", "bgr"] = "rgb"
    scale: float = Field(default=1.0, gt=0)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resize: Resize = "letterbox"
    pad: int = Field(default=114, ge=0, le=255)
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    layout: Literal["nchw", "nhwc"] = "nchw"

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

    @model_validator(mode="after")
    def _scaled_once(self) -> InputSpec:
        plain = self.scale == 1 and not any(self.mean) and set(self.std) == {1.0}
        if self.dtype == "uint8" and not plain:
            raise ValueError(
                "a uint8 input takes pixels 0..255 as they are, scaled inside the graph: leave "
                "scale, mean and std out"
            )
        return self


class OutputTensor(_Frozen):
    """One output of the network.

    Attributes:
        name: the output's name.
        holds: what its channels are, in order.
        axes: what its axes are, slowest first, with commas: ``b`` batch, ``c`` channels, ``n``
            candidates, ``h`` and ``w`` cells, ``a`` anchors of a cell. Letters together share
            an axis: ``b,ac,h,w`` has the channels of one anchor after those of another.
        stride: input pixels per cell; None where it holds every stride (or no cells).
    """

    name: str
    holds: tuple[Role, ...] = Field(min_length=1)
    axes: str = Field(default="b,n,c", pattern=r"^[bcnhwa]{1,3}(,[bcnhwa]{1,3}){0,5}$")
    stride: int | None = Field(default=None, ge=1, le=1024)


class OutputSpec(_Frozen):
    """Which graph output plays which role; a role may be spread over one tensor per stride."""

    tensors: tuple[OutputTensor, ...] = Field(default=(), max_length=64)

    @classmethod
    def joint(cls, name: str, holds: tuple[Role, ...], *, channels_last: bool) -> OutputSpec:
        """One tensor that holds everything: [B, N, C], or [B, C, N]."""
        axes = "b,n,c" if channels_last else "b,c,n"
        return cls(tensors=(OutputTensor(name=name, holds=holds, axes=axes),))

    @classmethod
    def apart(cls, names: Mapping[Role, str], *, channels_last: bool) -> OutputSpec:
        """One tensor a role: [B, N, C], or [B, C, N]."""
        axes = "b,n,c" if channels_last else "b,c,n"
        return cls(
            tensors=tuple(
                OutputTensor(name=name, holds=(role,), axes=axes) for role, name in names.items()
            )
        )

    def named(self, role: Role) -> tuple[OutputTensor, ...]:
        """Return the tensors that hold a role, in order."""
        return tuple(tensor for tensor in self.tensors if role in tensor.holds)


class DetectorSpec(_Frozen):
    """A detector, complete enough to be decoded without its original graph.

    Attributes:
        classes: names by class index; where the scores have a background column, it is
            one of them, at index ``background``.
        boxes: the layout of decoded boxes (``ltrb``: distances from a cell's centre);
            ``normalized``: 0..1 instead of input pixels.
        code: what is still to be done to turn channels into boxes.
        strides: input pixels per cell, in the order in which the levels follow each other.
        cell_offset: where a cell's centre lies, in cells: 0 its corner, 0.5 its middle.
        even_cells: whether a level's cells share the input evenly, instead of each being a
            stride wide (they differ where the input is no multiple of the stride).
        anchors: per stride, each anchor's width and height in input pixels.
        anchors_first: whether all cells of one anchor come before those of the next.
        variances: what SSD-like codes multiply offsets and log sizes by (Liu et al. 2016).
        reg_max: bins of a distribution per side (Li et al. 2020), 0 where sides are plain.
        activations: what must still be applied to objectness and scores (a softmax: to the
            scores alone).
        powers: a score is objectness ** powers[0] * class score ** powers[1].
        extra_inputs: what the network's other inputs are fed, by name.
    """

    version: Literal[2] = 2
    family: Family
    input: InputSpec
    outputs: OutputSpec
    classes: tuple[str, ...] = Field(min_length=1)
    boxes: BoxLayout
    normalized: bool = False
    code: BoxCode = "none"
    strides: tuple[int, ...] = ()
    cell_offset: float = Field(default=0.0, ge=0, le=1)
    even_cells: bool = False
    anchors: tuple[tuple[tuple[float, float], ...], ...] = ()
    anchors_first: bool = False
    variances: tuple[float, float] = (0.1, 0.2)
    reg_max: int = Field(default=0, ge=0, le=128)
    background: int | None = Field(default=None, ge=0)
    activations: Activation = "none"
    powers: tuple[float, float] = (1.0, 1.0)
    extra_inputs: dict[str, Fed | tuple[float, ...]] = Field(default_factory=dict)
    score_threshold: float = Field(default=0.25, ge=0, le=1)
    nms_iou: float = Field(default=0.65, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, value: Any) -> Any:
        """Read what version 1 stored."""
        return _from_version_1(value) if _is_version_1(value) else value

    @model_validator(mode="after")
    def _consistent(self) -> DetectorSpec:
        if (self.boxes == "ltrb") != (self.code == "distance"):
            raise ValueError("boxes ltrb go with code distance, and nothing else does")
        if self.anchors and len(self.anchors) != len(self.strides):
            raise ValueError("anchors need one row of [width, height] pairs per stride")
        if self.background is not None and self.background >= len(self.classes):
            raise ValueError(
                f"background {self.background} is no class index: there are {len(self.classes)}"
            )
        stray = {tensor.stride for tensor in self.outputs.tensors} - {None, *self.strides}
        if self.strides and stray:
            left = ", ".join(str(stride) for stride in sorted(filter(None, stray)))
            raise ValueError(f"strides leave out {left}, of which outputs are read")
        return self

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


def _is_version_1(value: Any) -> bool:
    return isinstance(value, dict) and value.get("version") == 1


def _from_version_1(value: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew three families, and named one tensor, or boxes and scores."""
    fields = {key: entry for key, entry in value.items() if key not in {"version", "decoded"}}
    names = dict(fields.get("outputs") or {})
    last = bool(names.get("channels_last"))
    holds: tuple[Role, ...] = ("boxes", "scores")
    if fields.get("family") == "yolox":
        holds = ("boxes", "objectness", "scores")
        fields["code"] = "none" if value.get("decoded", True) else "grid"
    if names.get("all"):
        outputs = OutputSpec.joint(str(names["all"]), holds, channels_last=last)
    else:
        pair: dict[Role, str] = {"boxes": str(names.get("boxes"))}
        pair["scores"] = str(names.get("scores"))
        outputs = OutputSpec.apart(pair, channels_last=last)
    return {**fields, "outputs": outputs}

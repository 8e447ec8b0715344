"""What ``edgecv detect`` takes: flags, YAML keys and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from edgecv_cli.config.base import ArtifactPath, CommonConfig, Flag, Input, OutputPath
from edgecv_cli.config.common import ENGINES, ImageSize, require_caching
from edgecv_cli.core.errors import UsageError

_SMALLEST_TILE = 64

_LIVE = "Cameras and streams"

Save = Literal["image", "video", "json", "coco", "csv", "yolo", "crops", "hard"]


def _split(value: Any) -> Any:
    """Take ``a,b`` and ``["a", "b,c"]`` alike: a comma never stands inside an entry."""
    given = [value] if isinstance(value, str | int) else value
    if not isinstance(given, list | tuple):
        return value
    parts = [part.strip() for entry in given for part in str(entry).split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def _square(value: Any) -> Any:
    """Take ``640`` as ``640x640``."""
    text = str(value)
    return f"{text}x{text}" if text.isdecimal() else value


def _ends(value: Any) -> Any:
    """Take ``100,200,300,200`` as the four numbers of a line's ends."""
    if not isinstance(value, str):
        return value
    try:
        x1, y1, x2, y2 = (float(part) for part in value.split(","))
    except ValueError as error:
        raise ValueError(f"write a line as x1,y1,x2,y2 in pixels, not {value!r}") from error
    return x1, y1, x2, y2


Line = Annotated[
    tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat],
    BeforeValidator(_ends),
    PlainSerializer(
        lambda ends: ",".join(f"{part:g}" for part in ends),
        return_type=str,
        when_used="unless-none",
    ),
    WithJsonSchema({"type": "string"}),
]
"""The two ends of a line in a picture, written ``x1,y1,x2,y2``."""


class DetectConfig(CommonConfig):
    """Options of detect."""

    model: Annotated[ArtifactPath, Flag(positional=True)] = Field(description="Detector to run.")
    sources: Annotated[
        tuple[str, ...], Flag(positional=True, metavar="SOURCE..."), Input("sources")
    ] = Field(
        min_length=1,
        description="Images, folders, quoted patterns ('**/*.jpg'), videos, sequences "
        "(%05d.jpg), - for a list on standard input; or cameras (0, /dev/video0, csi:0) and "
        "streams (rtsp://, http://).",
    )
    output: Annotated[OutputPath | None, Flag("-o", "--output", metavar="DIR")] = Field(
        None, description="Folder for the results. Without it nothing is saved."
    )
    save: Annotated[tuple[Save, ...], Flag(metavar="KIND,..."), BeforeValidator(_split)] = Field(
        (),
        description="What to save: image, video, json, coco, csv, yolo, crops (objects), hard "
        "(frames with scores near the threshold, or with things that come and go). Default: json, "
        "and image for images, video for videos.",
    )
    hard_rate: Annotated[float, Flag(metavar="N")] = Field(
        6.0,
        gt=0,
        le=6000,
        description="Frames that --save hard keeps of a minute of video at most.",
    )
    conf: Annotated[float | None, Flag(metavar="F")] = Field(
        None, ge=0, le=1, description="Lowest score that counts. Default: the model's own."
    )
    iou: Annotated[float | None, Flag(metavar="F")] = Field(
        None,
        gt=0,
        le=1,
        description="Overlap above which the weaker of two boxes of a class goes. Default: the "
        "model's own.",
    )
    classes: Annotated[tuple[str, ...], Flag(metavar="NAME|ID,..."), BeforeValidator(_split)] = (
        Field((), description="Only these classes, by name or index. Default: all.")
    )
    blur: Annotated[tuple[str, ...], Flag(metavar="NAME|ID,..."), BeforeValidator(_split)] = Field(
        (),
        description="Make boxes of these classes unrecognisable, doubtful ones too, before any "
        "picture is written.",
    )
    limit: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, description="Stop after this many frames."
    )
    fps: Annotated[float, Flag(metavar="N")] = Field(
        30.0, gt=0, le=1000, description="Frames a second of an image sequence (frames/%05d.jpg)."
    )
    duration: Annotated[float | None, Flag(metavar="S", panel=_LIVE)] = Field(
        None, gt=0, le=1e8, description="Stop after this many seconds. Default: at Ctrl-C."
    )
    every_frame: Annotated[bool, Flag(panel=_LIVE)] = Field(
        False, description="Look at every frame, however late, and not at the newest alone."
    )
    reconnect_for: Annotated[float | None, Flag(metavar="S", panel=_LIVE)] = Field(
        60.0,
        ge=0,
        le=1e8,
        description="How long a stream may give no pictures before it is given up; it is opened "
        "again and again meanwhile. 0 gives up at once.",
    )
    input_size: Annotated[ImageSize | None, Flag(metavar="HxW")] = Field(
        None, description="Input size of a model that leaves it open."
    )
    tile: Annotated[ImageSize | None, Flag(metavar="N|HxW"), BeforeValidator(_square)] = Field(
        None,
        description="Look at large pictures in tiles of this size as well, for small objects.",
    )
    tile_overlap: Annotated[float, Flag(metavar="F")] = Field(
        0.2, ge=0, le=0.5, description="Share of a tile's side that neighbours have in common."
    )
    track: bool = Field(
        False, description="Follow objects through each video, with numbers that stay (ByteTrack)."
    )
    line: Annotated[tuple[Line, ...], Flag(metavar="X1,Y1,X2,Y2")] = Field(
        (),
        description="Count tracked objects that cross this line, by class and direction. Repeat "
        "for more.",
    )
    serve: Annotated[str | None, Flag(metavar="[HOST:]PORT")] = Field(
        None,
        description="Show annotated frames in a browser while it runs; this machine alone, unless "
        "HOST is given.",
    )
    engine: Annotated[str, Flag(metavar="NAME[:DEVICE[:PRECISION]]", suggest=ENGINES)] = Field(
        "onnxruntime", min_length=1, description="Engine to run it on."
    )
    model_cache: bool = Field(
        False,
        description="Keep what the engine compiles in the user's cache, which makes the next start "
        "faster: openvino.",
    )
    force: bool = Field(False, description="Overwrite files in an existing output folder.")

    @model_validator(mode="after")
    def _engine_caches(self) -> Self:
        if self.model_cache:
            require_caching([self.engine])
        return self

    @model_validator(mode="after")
    def _lines_are_crossed(self) -> Self:
        for ends in self.line:
            if ends[:2] == ends[2:]:
                raise UsageError(
                    "--line has both ends in one place", remedy="give x1,y1,x2,y2 in pixels"
                )
        if self.line and not self.track:
            raise UsageError("--line counts what is tracked", remedy="add --track")
        return self

    @model_validator(mode="after")
    def _tiles_are_pictures(self) -> Self:
        if self.tile is not None and min(self.tile) < _SMALLEST_TILE:
            raise UsageError(
                f"--tile {self.tile[0]}x{self.tile[1]}: nothing is to be seen in so little",
                remedy=f"give tiles of {_SMALLEST_TILE} pixels or more; the network's input size "
                "is a good first choice",
            )
        return self

    @model_validator(mode="after")
    def _save_has_a_place(self) -> Self:
        if self.save and self.output is None:
            raise UsageError(
                "--save says what to save, but not where", remedy="add -o DIR, or leave --save out"
            )
        return self

"""Types that several commands' options share, with how they are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from edgecv_cli.config.base import OutputPath
from edgecv_cli.core.errors import UsageError

Target = Literal["cpu", "cpu-x86-vnni", "cpu-x86", "cpu-arm", "tensorrt", "openvino", "generic"]
Device = Literal["cpu", "cuda"]
Prefer = Literal["accuracy", "balanced", "speed"]
Scenario = Literal["single-stream", "multi-stream"]

ENGINES = ("onnxruntime", "openvino", "litert", "tensorrt", "coreml")
"""The engines that edgecv runs models on, for shells to complete; runtime/ has them."""

CACHING_ENGINES = frozenset({"openvino"})
"""Those that can keep what they compile for later starts."""

_SIZE = re.compile(r"(\d{1,9})[xX×](\d{1,9})")
_CORES = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")
_DROP = re.compile(r"(\d+(?:\.\d+)?)\s*(%|pt)")


def _image_size(value: Any) -> Any:
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if not match:
            raise ValueError(f"write HEIGHTxWIDTH in pixels, such as 480x640, not {value!r}")
        value = (int(match[1]), int(match[2]))
    if isinstance(value, (list, tuple)) and all(isinstance(side, int) for side in value):
        if len(value) != 2 or any(not 8 <= side <= 8192 for side in value):
            raise ValueError("needs two sides (height, width) of 8 to 8192 pixels")
        return tuple(value)
    raise ValueError(f"write HEIGHTxWIDTH in pixels, such as 480x640, not {value!r}")


ImageSize = Annotated[
    tuple[int, int],
    BeforeValidator(_image_size),
    PlainSerializer(lambda size: f"{size[0]}x{size[1]}", return_type=str, when_used="unless-none"),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,5}x\d{1,5}$"}),
]
"""Height and width in pixels, written ``480x640``."""


def _cores(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    cores: set[int] = set()
    for part in value.split(","):
        match = _CORES.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ValueError(f"write logical cores as 0,2-3, not {value!r}")
        cores.update(range(first, last + 1))
    return tuple(sorted(cores))


def _written_cores(cores: Sequence[int]) -> str:
    return ",".join(str(core) for core in cores)


CoreList = Annotated[
    tuple[int, ...],
    BeforeValidator(_cores),
    PlainSerializer(_written_cores, return_type=str, when_used="unless-none"),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*$"}),
]
"""Logical cores, written ``0,2-3``, as taskset(1) does."""


def require_caching(engines: Sequence[str]) -> None:
    """Refuse a model cache where no engine has one; ``engines`` as ``--engine`` takes them.

    Raises:
        UsageError: naming the engines that have one.
    """
    if not any(name.partition(":")[0] in CACHING_ENGINES for name in engines):
        able = " or ".join(sorted(CACHING_ENGINES))
        raise UsageError(
            f"--model-cache: engine {', '.join(engines)} keeps nothing that it compiled",
            remedy=f"add --engine {able}, or leave --model-cache out",
        )


@dataclass(frozen=True)
class MaxDrop:
    """The largest loss of accuracy that is accepted.

    Attributes:
        value: how much, in ``unit``.
        unit: ``%`` of the baseline's mAP, or ``pt``: mAP points (100 times the difference).
    """

    value: float
    unit: Literal["%", "pt"]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``1%`` or ``0.5pt``.

        Raises:
            ValueError: anything else; a bare number could mean either, so it is refused.
        """
        match = _DROP.fullmatch(text.strip())
        if match:
            unit: Literal["%", "pt"] = "%" if match[2] == "%" else "pt"
            return cls(float(match[1]), unit)
        bare = text.strip()
        if re.fullmatch(r"-?\d+(\.\d+)?", bare):
            raise ValueError(
                f"{bare} of what? write {bare}% (of the baseline mAP) or {bare}pt (mAP points)"
            )
        raise ValueError(f"write 1% (of the baseline mAP) or 0.5pt (mAP points), not {text!r}")

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"


def _drop(value: Any) -> Any:
    return value if isinstance(value, MaxDrop) else MaxDrop.parse(str(value))


DropGate = Annotated[
    MaxDrop,
    BeforeValidator(_drop),
    PlainSerializer(str, return_type=str, when_used="unless-none"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?(%|pt)$"}),
]
"""A :class:`MaxDrop`, written ``1%`` or ``0.5pt``."""


def _html(path: Path) -> Path:
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{path} does not end in .html, so no browser would open it")
    return path


ReportPath = Annotated[OutputPath, AfterValidator(_html)]
"""Where an HTML report goes."""

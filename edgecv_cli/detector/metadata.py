"""What a model file says of its detector in key/value strings: ours, or an exporter's."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from edgecv_cli.core.errors import ModelError
from edgecv_cli.detector.spec import DetectorSpec

SPEC_KEY = "edgecv.spec"

_MAX_TEXT = 262_144
_MAX_NAME = 100
_SIDES = re.compile(r"\[?\s*(\d{1,5})\s*,\s*(\d{1,5})\s*\]?")


def stored_spec(metadata: Mapping[str, str]) -> DetectorSpec | None:
    """Return the spec that edgecv wrote into the model, or None.

    Raises:
        ModelError: there is one and it can't be read.
    """
    text = metadata.get(SPEC_KEY)
    if text is None:
        return None
    try:
        return DetectorSpec.loads(text[:_MAX_TEXT])
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise ModelError(
            f"the detector spec stored in the model can't be read: {reason}",
            remedy="name the detector's `family` in a spec file and give it with --spec",
        ) from error


@dataclass(frozen=True)
class ExportNotes:
    """What exporters leave: task, class names, input size [height, width]."""

    task: str | None = None
    names: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None


def export_notes(metadata: Mapping[str, str]) -> ExportNotes:
    """Read Ultralytics' ``task``, ``names`` and ``imgsz``; what is malformed counts as absent.

    Names may also stand one a line in ``character``, where PaddleOCR's tools put them.
    """
    sides = _SIDES.fullmatch(metadata.get("imgsz", "").strip())
    return ExportNotes(
        task=metadata.get("task") or None,
        names=_names(metadata.get("names", "")) or _lines(metadata.get("character", "")),
        size=(int(sides[1]), int(sides[2])) if sides else None,
    )


def _names(text: str) -> tuple[str, ...] | None:
    """Read ``{0: 'person', ...}`` or a list of names, as a Python literal and no code."""
    if not text or len(text) > _MAX_TEXT:
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if isinstance(value, dict):
        if sorted(value, key=str) != sorted(range(len(value)), key=str):
            return None
        value = [value[index] for index in range(len(value))]
    if not isinstance(value, list | tuple) or not value:
        return None
    return tuple(printable(str(name)) for name in value)


def _lines(text: str) -> tuple[str, ...] | None:
    if len(text) > _MAX_TEXT:
        return None
    return tuple(printable(line) for line in text.splitlines() if line.strip()) or None


def printable(name: str) -> str:
    """Return a class name that can't steer a terminal or fill a page."""
    return "".join(char if char.isprintable() else "?" for char in name[:_MAX_NAME])

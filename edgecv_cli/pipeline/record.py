"""Finished steps in the store: what was reported, and the files that were made, by content.

A record names no place: where it speaks of an input or output file, a token stands, so that
the same work is found again when files are moved, and says the names of this run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from edgecv_cli.core.store import Store, digest_key
from edgecv_cli.pipeline.keys import Key

_MARK = "\N{SYMBOL FOR SUBSTITUTE}"  # no path that a tool writes holds it

M = TypeVar("M", bound=BaseModel)


def weights_of(field: str) -> str:
    """Return what the weights are kept as that stand beside the model of an output."""
    return f"{field} weights"


class Kept(BaseModel):
    """One file that a step made.

    Attributes:
        field: the output that it belongs to; :func:`weights_of` it for a model's weights.
        name: its path below that output where that is a folder; empty where it is the output.
        sha256: of its content, which is kept under it.
    """

    model_config = ConfigDict(frozen=True)

    field: str
    name: str
    sha256: str

    @field_validator("name")
    @classmethod
    def _stays_below(cls, name: str) -> str:
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError("leaves the output")
        return name


class Record(BaseModel):
    """A finished step.

    Attributes:
        result: what it reported, with tokens for paths.
        files: what it made.
        artifact: digest of the artifact it gives, as keys count it; None if it gives none.
        seconds: what the work took.
    """

    model_config = ConfigDict(frozen=True)

    result: dict[str, Any]
    files: tuple[Kept, ...] = ()
    artifact: str | None = None
    seconds: float

    def file(self, field: str) -> Kept | None:
        """Return the file that is an output, if it was made."""
        return next((kept for kept in self.files if (kept.field, kept.name) == (field, "")), None)

    def held(self, field: str) -> tuple[Kept, ...]:
        """Return every file of an output."""
        return tuple(kept for kept in self.files if kept.field == field)


def input_token(index: int) -> str:
    """Return what stands for the path of the artifact that a step takes at ``index``."""
    return f"{_MARK}input {index}{_MARK}"


def output_token(field: str) -> str:
    """Return what stands for the path of an output."""
    return f"{_MARK}{field}{_MARK}"


def replaced(value: Any, names: Mapping[str, str | None]) -> Any:
    """Return a result's JSON with other words for paths; None takes the whole value away."""
    if isinstance(value, dict):
        return {key: replaced(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [replaced(part, names) for part in value]
    if not isinstance(value, str):
        return value
    if value in names:
        return names[value]
    for old in sorted(names, key=len, reverse=True):
        if old in value:
            value = value.replace(old, names[old] or "")
    return value


class Shelf:
    """Finished steps in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, key: Key) -> Record | None:
        """Return a finished step whose every file is there and whole, or None."""
        record = _read(Record, self._store.get(f"step {key.digest}"))
        if record is None or any(self.content(kept.sha256) is None for kept in record.files):
            return None
        return record

    def keep(self, key: Key, record: Record, files: Iterable[Path]) -> None:
        """Keep a step: its files first, and the record last, so that it is there whole or not."""
        for file in files:
            content = file.read_bytes()
            self._store.put(_content_key(hashlib.sha256(content).hexdigest()), content)
        self._store.put(f"step {key.digest}", record.model_dump_json().encode())

    def content(self, sha256: str) -> bytes | None:
        """Return the content that has this digest, or None."""
        return self._store.get(_content_key(sha256))

    def last(self, pipeline: Path, step: str) -> Key | None:
        """Return the key that a step of a pipeline had when it last finished, or None."""
        return _read(Key, self._store.get(_place(pipeline, step)))

    def note_last(self, pipeline: Path, step: str, key: Key) -> None:
        """Remember the key of a step that is finished, to say later what changed."""
        self._store.put(_place(pipeline, step), key.model_dump_json().encode())


def _content_key(sha256: str) -> str:
    return f"content {sha256}"


def _place(pipeline: Path, step: str) -> str:
    return "last " + digest_key(pipeline=str(pipeline.resolve()), step=step)


def _read(kind: type[M], content: bytes | None) -> M | None:
    """Return what was kept, unless another version of edgecv wrote it in another shape."""
    if content is None:
        return None
    try:
        return kind.model_validate(json.loads(content))
    except (ValueError, ValidationError):
        return None

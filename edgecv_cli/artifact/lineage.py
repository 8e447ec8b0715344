"""Where an artifact came from: a chain of steps, stored inside the file.

Never a time, path, host or measurement: the same inputs and options give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edgecv_cli.core.errors import ModelError

LINEAGE_KEY = "edgecv.lineage"
SPEC_KEY = "edgecv.spec"
TARGET_KEY = "edgecv.target"
_MAX_BYTES = 1_000_000


class Step(BaseModel):
    """One stage that an artifact went through.

    Attributes:
        stage: the stage's name.
        config: sha256 of the options that decide the content.
        data: sha256 of the images that were looked at, if any were.
        parents: content digests of the artifacts that went in.
        versions: distribution name to version, of what decides the content.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    stage: str
    config: str
    data: str | None = None
    parents: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)


_CHAIN: TypeAdapter[tuple[Step, ...]] = TypeAdapter(tuple[Step, ...])


def dump_lineage(steps: Sequence[Step]) -> str:
    """Return the chain as canonical JSON."""
    plain = [step.model_dump(mode="json", exclude_none=True) for step in steps]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def read_lineage(metadata: dict[str, str], where: str) -> tuple[Step, ...]:
    """Return the chain stored in a model's metadata, oldest first; empty if there is none.

    Raises:
        ModelError: the entry is there and is not a lineage.
    """
    text = metadata.get(LINEAGE_KEY)
    if text is None:
        return ()
    try:
        return _CHAIN.validate_json(text[:_MAX_BYTES])
    except ValidationError as error:
        raise ModelError(
            f"'{where}': its '{LINEAGE_KEY}' metadata is damaged",
            remedy="take the file from its source again",
        ) from error

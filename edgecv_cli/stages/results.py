"""Reading what a command printed with ``--json``."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from edgecv_cli.core.errors import ConfigError
from edgecv_cli.core.result import Result

R = TypeVar("R", bound=Result)
_MAX_BYTES = 64 * 1024**2


def read_result(path: Path, kind: type[R], *, what: str) -> R:
    """Read a result from a file.

    Args:
        path: the file.
        kind: what it has to hold.
        what: how the file comes about, in words.

    Raises:
        ConfigError: it can't be read, is too large, or holds anything else.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"'{path}' is too large for a result", remedy=f"give {what}")
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"'{path}' can't be read: {error.strerror}", remedy=f"give {what}"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"'{path}' is not {what}: {f'{where}: ' if where else ''}{first['msg']}",
            remedy="write one with this version of edgecv",
        ) from error

"""Reading settings from YAML: hostile input, so only plain data and a size limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgecv_cli.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_BYTES = 1 << 20


def read_yaml(path: Path) -> Any:
    """Return the plain data (mappings, lists, strings, numbers) that a YAML file holds.

    Raises:
        ConfigError: it can't be read, is larger than 1 MiB, or is not YAML, with the line.
    """
    import yaml

    try:
        with path.open("rb") as file:
            text = file.read(LIMIT_BYTES + 1)
        if len(text) > LIMIT_BYTES:
            raise ConfigError(f"{path} is larger than 1 MiB", remedy="give a settings file")
        return yaml.safe_load(text.decode("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read: {error.strerror}", remedy="give the path of a YAML file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ConfigError(
            f"{path} is not valid YAML{_place(error)}", remedy="correct it: lines of NAME: VALUE"
        ) from error


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None)
    line = f", line {mark.line + 1}" if mark is not None else ""
    return f"{line}: {said}" if said else line

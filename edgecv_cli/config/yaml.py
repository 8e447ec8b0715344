"""Reading settings from YAML: hostile input, so plain data within limits.

Aliases are refused, because a few lines of them stand for gigabytes ("billion laughs").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgecv_cli.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LIMIT_BYTES = 1 << 20
LIMIT_DEPTH = 16

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")  # no file system call takes them


def read_yaml(path: Path) -> Any:
    """Return the plain data (mappings, lists, strings, numbers) that a YAML file holds.

    Raises:
        ConfigError: it can't be read, is larger than 1 MiB, nests deeper than 16 levels, holds
            an alias, a key twice or a character that no name can hold, or is not YAML, with
            the line.
    """
    import yaml

    try:
        with path.open("rb") as file:
            text = file.read(LIMIT_BYTES + 1)
        if len(text) > LIMIT_BYTES:
            raise ConfigError(f"{path} is larger than 1 MiB", remedy="give a settings file")
        decoded = text.decode("utf-8")
        _check_shape(yaml.parse(decoded, yaml.SafeLoader), path)
        _check_keys(yaml.compose(decoded, yaml.SafeLoader), path)
        return yaml.safe_load(decoded)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read: {error.strerror}", remedy="give the path of a YAML file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ConfigError(
            f"{path} is not valid YAML{_place(error)}", remedy="correct it: lines of NAME: VALUE"
        ) from error


def _check_shape(events: Iterable[Any], path: Path) -> None:
    from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

    depth = 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if isinstance(event, AliasEvent):
            raise ConfigError(
                f"{path}{_line(event.start_mark)}: an alias (*name)", remedy="write the value out"
            )
        if isinstance(event, ScalarEvent) and _UNWRITABLE.search(event.value):
            raise ConfigError(
                f"{path}{_line(event.start_mark)}: a character that no name can hold",
                remedy="take it out: NUL, or half of a surrogate pair",
            )
        if depth > LIMIT_DEPTH:
            raise ConfigError(f"{path} nests too deep", remedy="write lines of NAME: VALUE")


def _check_keys(node: Any, path: Path) -> None:
    """Refuse a key given twice: PyYAML would drop the first of them silently."""
    from yaml.nodes import MappingNode, ScalarNode, SequenceNode

    if isinstance(node, SequenceNode):
        for item in node.value:
            _check_keys(item, path)
    elif isinstance(node, MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value in seen:
                raise ConfigError(
                    f"{path}{_line(key.start_mark)}: {key.value} is given twice",
                    remedy="take one of them out",
                )
            seen.add(key.value if isinstance(key, ScalarNode) else id(key))
            _check_keys(value, path)


def _place(error: Exception) -> str:
    line = _line(getattr(error, "problem_mark", None))
    said = getattr(error, "problem", None)
    return f"{line}: {said}" if said else line


def _line(mark: Any) -> str:
    return "" if mark is None else f", line {mark.line + 1}"

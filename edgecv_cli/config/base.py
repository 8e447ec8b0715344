"""The base of every command's configuration: one source for flags, YAML and schemas."""

from __future__ import annotations

import difflib
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgecv_cli.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo


class Input:
    """Marks a config field as an input whose content belongs into cache keys.

    Attributes:
        kind: ``artifact``, ``dataset`` (labelled), ``images``, ``probed`` (labelled or not),
            ``sources`` (what detect takes), ``spec`` or ``file``.
        limit: the field that says how many of its images are used.
    """

    def __init__(self, kind: str, limit: str | None = None) -> None:
        self.kind = kind
        self.limit = limit


class Output:
    """Marks a config field as a place that is written to: it decides no content."""


class Flag:
    """How a field looks on the command line, where its name does not say it all.

    Attributes:
        names: the option's names, such as ``-o`` and ``--output``; empty: from the field.
        positional: whether it is an argument, not an option.
        metavar: placeholder in the help.
        panel: heading in the help that it stands under.
        suggest: values that shells complete, where others are taken too.
    """

    def __init__(
        self,
        *names: str,
        positional: bool = False,
        metavar: str | None = None,
        panel: str | None = None,
        suggest: tuple[str, ...] = (),
    ) -> None:
        self.names = names
        self.positional = positional
        self.metavar = metavar
        self.panel = panel
        self.suggest = suggest


ArtifactPath = Annotated[Path, Input("artifact")]
DatasetPath = Annotated[Path, Input("dataset", limit="limit")]
ImagesPath = Annotated[Path, Input("images", limit="images")]
AllImagesPath = Annotated[Path, Input("images")]
SpecPath = Annotated[Path, Input("spec")]
FilePath = Annotated[Path, Input("file")]
OutputPath = Annotated[Path, Output()]

_Mark = TypeVar("_Mark", Input, Output)


class Config(BaseModel):
    """Frozen, typed, unknown keys refused; None means the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_options(cls, **options: Any) -> Self:
        """Build from command-line options; None keeps the default.

        Raises:
            ConfigError: a value is of the wrong kind, naming the option.
        """
        given = {name: value for name, value in options.items() if value not in (None, (), [])}
        try:
            return cls(**given)
        except ValidationError as error:
            raise cls._in_words(error, option=True) from error

    @classmethod
    def from_mapping(cls, values: Any, *, source: str) -> Self:
        """Build from what a YAML or JSON file held; ``source`` names it in errors.

        Raises:
            ConfigError: it is no mapping, or a key or value is not understood.
        """
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            raise ConfigError(f"{source} holds no settings", remedy="write lines of NAME: VALUE")
        try:
            return cls(**values)
        except ValidationError as error:
            raise cls._in_words(error, option=False, where=f"{source}: ") from error

    @classmethod
    def from_file(cls, file: Path, **options: Any) -> Self:
        """Build from a YAML file whose paths are relative to it; options given win.

        Raises:
            ConfigError: the file can't be read, or a key or value is not understood.
        """
        from edgecv_cli.config.yaml import read_yaml

        values = read_yaml(file)
        if isinstance(values, dict):
            given = {key: value for key, value in options.items() if value not in (None, False, [])}
            values = {**cls._relative_to(values, file.parent), **given}
        return cls.from_mapping(values, source=str(file))

    @classmethod
    def _relative_to(cls, values: dict[Any, Any], folder: Path) -> dict[Any, Any]:
        paths = path_fields(cls)
        return {
            key: str(folder / value) if key in paths and isinstance(value, str) else value
            for key, value in values.items()
        }

    @classmethod
    def option_name(cls, field: str) -> str:
        """Return how the command line spells a field: ``--max-drop``, ``MODEL``."""
        info = cls.model_fields.get(field)
        flag = flag_of(info) if info else Flag()
        if flag.positional:
            return flag.metavar or field.upper()
        return flag.names[-1] if flag.names else f"--{field.replace('_', '-')}"

    @classmethod
    def _in_words(cls, error: ValidationError, *, option: bool, where: str = "") -> ConfigError:
        first = error.errors(include_url=False)[0]
        path = first["loc"]
        key = str(path[0]) if path else "value"
        name = cls.option_name(key) if option else ".".join(str(part) for part in path)
        remedy = f"correct {name}; --help lists what it takes"
        if first["type"] == "missing":
            return ConfigError(f"{where}{name} is missing", remedy=f"add {cls._usage(key, name)}")
        if first["type"] == "extra_forbidden":
            return ConfigError(f"{where}unknown setting {name}", remedy=cls._nearest(key))
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        got = first.get("input")
        if first["type"] != "value_error":
            message = f"should be {message[:1].lower()}{message[1:]}"
            message += "" if got is None or isinstance(got, dict) else f", got {reprlib.repr(got)}"
        return ConfigError(f"{where}{name}: {message}", remedy=remedy)

    @classmethod
    def _usage(cls, field: str, name: str) -> str:
        metavar = flag_of(cls.model_fields[field]).metavar if field in cls.model_fields else None
        return f"{name} {metavar}" if metavar else name

    @classmethod
    def _nearest(cls, key: str) -> str:
        near = difflib.get_close_matches(key, cls.model_fields, 1)
        known = ", ".join(cls.model_fields)
        return f"write {near[0]}" if near else f"use one of: {known}"


def flag_of(info: FieldInfo) -> Flag:
    """Return the :class:`Flag` in a field's Annotated metadata, or an empty one."""
    return next((mark for mark in info.metadata if isinstance(mark, Flag)), Flag())


def mark_of(info: FieldInfo, kind: type[_Mark]) -> _Mark | None:
    """Return a field's :class:`Input` or :class:`Output` mark, however deep in its type."""
    return next((mark for mark in _marks(info) if isinstance(mark, kind)), None)


def path_fields(config: type[Config]) -> frozenset[str]:
    """Return the names of the fields that hold paths."""
    return frozenset(n for n, info in config.model_fields.items() if _holds_path(info.annotation))


def _marks(info: FieldInfo) -> Iterator[Any]:
    yield from info.metadata
    parts = [info.annotation]
    while parts:
        part = parts.pop()
        yield from getattr(part, "__metadata__", ())
        parts.extend(get_args(part))


def _holds_path(annotation: Any) -> bool:
    return annotation is Path or any(_holds_path(part) for part in get_args(annotation))


class CommonConfig(Config):
    """Options that mean the same everywhere."""

    spec: Annotated[SpecPath | None, Flag("--spec", metavar="FILE.yaml", panel="Common")] = Field(
        None, description="Detector spec (YAML) that overrides what the model says of itself."
    )
    threads: Annotated[int | None, Flag("--threads", metavar="N", panel="Common")] = Field(
        None, ge=1, le=1024, description="Threads an engine may use. Default: one per core."
    )
    seed: Annotated[int, Flag("--seed", metavar="N", panel="Common")] = Field(
        0, ge=0, description="Seed of everything random."
    )

"""The base of every command's configuration: one source for flags, YAML and schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgecv_cli.core.errors import ConfigError


class Input:
    """Marks a config field as an input whose content belongs into cache keys."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Flag:
    """How a field looks on the command line, where its name does not say it all.

    Attributes:
        short: one-letter option such as ``-o``.
        positional: whether it is an argument, not an option.
        metavar: placeholder in the help.
        panel: heading in the help that it stands under.
    """

    def __init__(
        self,
        *names: str,
        positional: bool = False,
        metavar: str | None = None,
        panel: str | None = None,
    ) -> None:
        self.names = names
        self.positional = positional
        self.metavar = metavar
        self.panel = panel


ArtifactPath = Annotated[Path, Input("artifact")]
DatasetPath = Annotated[Path, Input("dataset")]


class Config(BaseModel):
    """Frozen, typed, unknown keys refused; None means the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
            raise _in_words(error, option=True) from error


def _in_words(error: ValidationError, *, option: bool) -> ConfigError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "value"
    name = f"--{key.replace('_', '-')}" if option else key
    message = first["msg"].removeprefix("Value error, ")
    got = first.get("input")
    shown = f" (got {got!r})" if got is not None and not isinstance(got, dict) else ""
    return ConfigError(
        f"{name}: {message[:1].lower()}{message[1:]}{shown}",
        remedy=f"correct {name}; --help lists what it takes",
    )


class CommonConfig(Config):
    """Options that mean the same everywhere."""

    spec: Annotated[Path | None, Flag("--spec", metavar="FILE.yaml", panel="Common")] = Field(
        None, description="Detector spec (YAML) that overrides what the model says of itself."
    )
    threads: Annotated[int | None, Flag("--threads", panel="Common")] = Field(
        None, ge=1, le=1024, description="Threads an engine may use. Default: one per core."
    )
    seed: Annotated[int, Flag("--seed", panel="Common")] = Field(
        0, ge=0, description="Seed of everything random."
    )

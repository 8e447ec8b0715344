"""Flags made from Configs: a field's name, type, default and description are the flag's.

Values reach the Config as text, so that a wrong one is refused by one validator with one
wording, whether it was typed or stood in a YAML file.
"""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from edgecv_cli.config.base import Config, flag_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_METAVARS = {int: "N", float: "F", Path: "PATH", str: "TEXT"}
_LONGEST_METAVAR = 40


def signature(config: type[Config]) -> inspect.Signature:
    """Return the Typer signature of a command that takes ``config``'s fields."""
    fields = sorted(config.model_fields.items(), key=lambda item: not flag_of(item[1]).positional)
    return inspect.Signature([_parameter(config, name, info) for name, info in fields])


def _parameter(config: type[Config], name: str, info: FieldInfo) -> inspect.Parameter:
    flag, kind = flag_of(info), _plain(info.annotation)
    many = Ellipsis in get_args(kind)
    scalar = _plain(get_args(kind)[0]) if many else kind
    choices = [str(choice) for choice in get_args(scalar)] if get_origin(scalar) is Literal else []
    completed = choices or list(flag.suggest)
    metavar = flag.metavar or "|".join(choices) or _METAVARS.get(scalar, "TEXT")
    said = info.description or ""
    if len(metavar) > _LONGEST_METAVAR:
        metavar, said = name.upper(), f"{said} One of: {', '.join(choices)}."
    default: Any = None
    if flag.positional:
        label = (flag.metavar or name.upper()).rstrip(".")
        mark: Any = typer.Argument(help=said, metavar=label, show_default=False)
        default = ... if info.is_required() else None
    else:
        mark = typer.Option(
            *(flag.names or (config.option_name(name),)),
            help=said + _ending(info),
            metavar=None if scalar is bool else metavar,
            show_default=False,
            rich_help_panel=flag.panel,
            autocompletion=(lambda: completed) if completed else None,
        )
    given: Any = bool if scalar is bool else list[str] if many else str
    kind_of = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind_of, default=default, annotation=Annotated[given, mark])


def _plain(annotation: Any) -> Any:
    """Return a type without ``| None`` and ``Annotated``."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _plain(next(a for a in get_args(annotation) if a is not type(None)))
    return annotation


def _ending(info: FieldInfo) -> str:
    """Return what the help says of the default; where it says so itself, nothing."""
    if info.is_required():
        return " [required]"
    if info.default is None or info.default in (False, ()):
        return ""
    default = info.default if isinstance(info.default, tuple) else (info.default,)
    return f" [default: {', '.join(map(str, default))}]"

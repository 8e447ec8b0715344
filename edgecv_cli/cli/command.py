"""A command: its Config's flags, the flags that all share, and what it does with them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import typer
from typer.core import TyperCommand

from edgecv_cli.cli.options import signature
from edgecv_cli.cli.session import Session, interruptible
from edgecv_cli.config.base import Config

if TYPE_CHECKING:
    from collections.abc import Callable

C = TypeVar("C", bound=Config)

_PANEL = "Common"
_SHARED: dict[str, Any] = {
    "config": Annotated[
        str,
        typer.Option(
            "--config",
            metavar="FILE.yaml",
            help="Settings to start from (names as the flags, with _ for -); flags win.",
            rich_help_panel=_PANEL,
        ),
    ],
    "json": Annotated[
        bool,
        typer.Option("--json", help="Print the result as JSON on stdout.", rich_help_panel=_PANEL),
    ],
    "quiet": Annotated[
        bool, typer.Option("--quiet", help="No progress and no notes.", rich_help_panel=_PANEL)
    ],
    "verbose": Annotated[
        bool,
        typer.Option("--verbose", help="Tracebacks with errors.", rich_help_panel=_PANEL),
    ],
}


class HelpfulCommand(TyperCommand):
    """A command whose plain help groups options by panel and ends with examples as written."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line, arguments as ``MODEL``."""
        pieces: list[str] = super().collect_usage_pieces(ctx)
        return [piece.translate({ord("{"): None, ord("}"): None}) for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options under their headings."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], _PANEL: []}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                heading, label = _heading(parameter), row[0]
                if heading == "Arguments":
                    label = label.partition(" <")[0]  # text is all that they can be
                sections.setdefault(heading, []).append((label, row[1]))
        sections[_PANEL] = sections.pop(_PANEL)
        for heading, rows in sections.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's signature
        """Write the examples, one a line."""
        with formatter.section("Examples"):
            for line in (self.epilog or "").splitlines():
                formatter.write(f"  {line}\n")


def _heading(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    panel: str | None = getattr(parameter, "rich_help_panel", None)
    return _PANEL if parameter.name == "help" else panel or "Options"


@dataclass(frozen=True)
class Command(Generic[C]):
    """What ``edgecv NAME`` is.

    Attributes:
        config: the options, as a Config.
        execute: does the work; imports what it needs when called.
        help: one paragraph.
        examples: command lines that work as they stand, given the files.
    """

    config: type[C]
    execute: Callable[[C, Session], None]
    help: str
    examples: tuple[str, ...]

    def build(self, name: str) -> Any:
        """Return the Typer command."""
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(
            name,
            cls=HelpfulCommand,
            help=self.help,
            epilog="\n".join(self.examples),
            context_settings={"max_content_width": 100},
        )(self._callback())
        return typer.main.get_command(app)

    def _callback(self) -> Callable[..., None]:
        def callback(ctx: typer.Context, **options: Any) -> None:
            quiet = bool(options.pop("quiet"))
            for name in ("json", "verbose"):
                options.pop(name)  # read by Streams before parsing, so that errors heed them too
            config = self._configured(options.pop("config"), options)
            session = Session(ctx.obj, quiet=quiet, seed=getattr(config, "seed", None) or 0)
            with interruptible(session.context.cancel, session.context.progress):
                self.execute(config, session)

        vars(callback)["__signature__"] = _complete(signature(self.config))
        callback.__annotations__ = {}
        return callback

    def _configured(self, file: str | None, options: dict[str, Any]) -> C:
        if file is None:
            return self.config.from_options(**options)
        return self.config.from_file(Path(file), **options)


def _complete(own: inspect.Signature) -> inspect.Signature:
    keyword = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("ctx", keyword, annotation=typer.Context)
    shared = [
        inspect.Parameter(
            name, keyword, annotation=annotation, default=None if name == "config" else False
        )
        for name, annotation in _SHARED.items()
    ]
    return inspect.Signature([context, *own.parameters.values(), *shared])

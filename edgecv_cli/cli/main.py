"""``edgecv``: finds the command that was asked for and imports that one alone."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import warnings
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from edgecv_cli.cli.funnel import report
from edgecv_cli.cli.streams import Streams
from edgecv_cli.core.errors import InterruptedByUser
from edgecv_cli.core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("edgecv_cli.cli.commands.demo", "See it all work on a built-in detector."),
    "inspect": ("edgecv_cli.cli.commands.inspect", "What a model is, and how we know."),
    "evaluate": ("edgecv_cli.cli.commands.evaluate", "Accuracy (COCO mAP) on labelled images."),
    "quantize": ("edgecv_cli.cli.commands.quantize", "Make it int8, measured and gated."),
    "prune": ("edgecv_cli.cli.commands.prune", "Take whole channels out, fitted and gated."),
    "distill": ("edgecv_cli.cli.commands.distill", "Learn from another detector, without labels."),
    "reshape": ("edgecv_cli.cli.commands.reshape", "Give it another input size, gated."),
    "convert-openvino": (
        "edgecv_cli.cli.commands.convert_openvino",
        "Make it an OpenVINO IR, run and gated.",
    ),
    "convert-coreml": (
        "edgecv_cli.cli.commands.convert_coreml",
        "Make it a Core ML package, read back and gated.",
    ),
    "convert-tflite": (
        "edgecv_cli.cli.commands.convert_tflite",
        "Make it LiteRT, run and gated; int8 for Coral.",
    ),
    "benchmark": ("edgecv_cli.cli.commands.benchmark", "Time models against each other."),
    "compare": ("edgecv_cli.cli.commands.compare", "Do two models find the same things."),
    "convert-trt": ("edgecv_cli.cli.commands.convert_trt", "Make it fit for TensorRT, and build."),
    "run": ("edgecv_cli.cli.commands.run", "Do the steps of a pipeline, and resume them."),
    "detect": ("edgecv_cli.cli.commands.detect", "Find objects in pictures and videos."),
    "doctor": ("edgecv_cli.cli.commands.doctor", "What this machine has and lacks."),
    "targets": (
        "edgecv_cli.cli.commands.targets",
        "What to convert for, and what is installed.",
    ),
}
"""Command name to the module that holds its ``COMMAND``, and one line of help."""


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and imports one when it is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, line) in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=line)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the real command in the place of the entry that ``--help`` lists."""
        name, entry, rest = super().resolve_command(ctx, args)
        if name is None:
            return name, entry, rest
        module = importlib.import_module(COMMANDS[name][0])
        return name, module.COMMAND.build(name), rest


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    epilog="edgecv COMMAND --help shows the options of a command, with examples.",
)


def _show_version(value: bool) -> None:
    if value:
        print(f"edgecv {__version__}")
        raise typer.Exit


@app.callback()
def edgecv(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-v", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Get ONNX object detectors onto edge devices: compressed, measured, gated."""


def run(args: Sequence[str]) -> int:
    """Run a command line and return the exit code; every failure becomes words here."""
    asked_for_help = "--help" in args
    streams = Streams(
        json_wanted="--json" in args and not asked_for_help, verbose="--verbose" in args
    )
    try:
        code = typer.main.get_command(app).main(
            args=list(args) or ["--help"], prog_name="edgecv", standalone_mode=False, obj=streams
        )
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the funnel
        return report(error, streams)
    if code == InterruptedByUser.exit_code:  # how Typer hands a Ctrl-C back
        return report(InterruptedByUser(), streams)
    return code if isinstance(code, int) else 0


# Imports make objects that stay; looking through them again and again is a tenth of `inspect`.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main() -> None:
    """Entry point of the ``edgecv`` command."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    if "_EDGECV_COMPLETE" in os.environ:
        # Typer would load Rich, slowly, and have it take "[default: 3]" for markup.
        sys.modules["rich"] = cast("Any", None)
    if not sys.warnoptions and "--verbose" not in sys.argv:
        warnings.simplefilter("ignore")  # they are for developers; notes are for users
    sys.exit(run(sys.argv[1:]))

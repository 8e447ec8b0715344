"""A command that misbehaves on request, run through the real command line in a process.

``python fake_command.py ARGS`` is ``edgecv ARGS`` with the command ``bake`` added.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edgecv_cli.cli import main
from edgecv_cli.cli.command import Command
from edgecv_cli.cli.session import Session
from edgecv_cli.config.base import CommonConfig, Flag
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, GateNotMetError
from edgecv_cli.core.result import Result


class BakeConfig(CommonConfig):
    mode: Annotated[
        Literal["good", "bad", "gate", "bug", "noisy", "wait", "ignore", "full"],
        Flag(positional=True),
    ] = Field(description="What goes wrong.")
    minutes: int = Field(3, ge=1, description="Minutes.")
    started: Path | None = Field(None, description="Touched when the work begins.")


class BakeResult(Result):
    minutes: int
    saved: str | None = None


def bake(config: BakeConfig, context: Context) -> BakeResult:
    with context.progress.task("bake", 2, unit="cake") as task:
        task.advance(2)
    context.progress.note("a note")
    result = BakeResult(schema="edgecv.bake/1", minutes=config.minutes)
    if config.mode == "bad":
        raise DataError("no flour in 'pantry'", remedy="buy some")
    if config.mode == "gate":
        raise GateNotMetError("burnt", remedy="bake shorter", result=result)
    if config.mode == "bug":
        raise ZeroDivisionError("oven")
    if config.mode == "full":
        raise OSError(28, "No space left on device", "cake.onnx")
    if config.mode == "noisy":
        os.write(1, b"a native library says hello\n")
        print("and so does print")
    if config.mode in ("wait", "ignore"):
        _wait(config, context)
    return result


def _wait(config: BakeConfig, context: Context) -> None:
    assert config.started is not None
    config.started.touch()
    while True:
        if config.mode == "wait":
            context.cancel.check()
        time.sleep(0.01)


def execute(config: BakeConfig, session: Session) -> None:
    session.run(bake, config, lambda result: [f"baked for {result.minutes} minutes"])


COMMAND = Command(
    config=BakeConfig, execute=execute, help="Bake.", examples=("edgecv bake good", "edgecv bake x")
)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
    sys.modules["fake_command"] = sys.modules["__main__"]
    main.COMMANDS["bake"] = ("fake_command", "Bake.")
    sys.exit(main.run(sys.argv[1:]))

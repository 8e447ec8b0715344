"""Draw what a command prints on a terminal as an SVG that needs nothing from the network.

    python scripts/terminal_picture.py docs/images/demo.svg edgecv demo --output /tmp/edgecv-demo

The command runs on a pseudo-terminal; progress (standard error) is left out.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import subprocess
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH = 100
_WEB_FONT = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def run(command: list[str]) -> str:
    """Return what a command writes to a terminal of WIDTH columns."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    with subprocess.Popen(
        command, stdout=slave, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(slave)
        parts = []
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # the terminal is gone when its last user is
                break
            if not part:
                break
            parts.append(part)
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return b"".join(parts).decode().replace("\r\n", "\n")


def main() -> None:
    """Run the command and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("svg", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    console = Console(record=True, width=WIDTH, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(Text.assemble(("$ ", "bold green"), (" ".join(options.command), "bold")))
    console.print(Text.from_ansi(run(options.command)))
    picture = console.export_svg(title="edgecv", theme=MONOKAI, unique_id="edgecv")
    options.svg.write_text(_WEB_FONT.sub("", picture), encoding="utf-8")


if __name__ == "__main__":
    main()

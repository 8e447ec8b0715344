"""Prints the reference of every command's options, as the page that docs/options.md is.

``python -m edgecv_cli.cli.reference docs/options.md`` writes it; a test holds that it is current.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from edgecv_cli.cli.main import COMMANDS

_COMMON = "Common"
_INTRODUCTION = """\
# Options
Made from the code by `python -m edgecv_cli.cli.reference docs/options.md`; a test holds that it is
current. `edgecv COMMAND --help` says the same.

Every option but `--config`, `--json`, `--quiet` and `--verbose` can stand in a file for `--config`:
its name without `--`, and with `_` for `-`. `max_drop: 1%` in the file is `--max-drop 1%`. Paths in
a file are relative to the file. What is typed goes before what the file says.
"""
_TABLE = "| option | value | means |\n|---|---|---|\n"


def reference() -> str:
    """Return the whole page, in Markdown."""
    parts = [_INTRODUCTION]
    common: dict[str, str] = {}
    for name, (module, _) in COMMANDS.items():
        command = importlib.import_module(module).COMMAND
        panels = _panels(command.build(name).params)
        common |= panels.pop(_COMMON)
        examples = "".join(f"    {line}\n" for line in command.examples)
        tables = [_table(panel, rows) for panel, rows in panels.items() if rows]
        parts.append("\n".join([f"## {name}\n{command.help}\n\n{examples}", *tables]))
    everywhere = _table("", common)
    parts.append(
        f"## Everywhere\n`demo` runs its own model, and takes no `--spec`.\n\n{everywhere}"
    )
    return "\n".join(parts)


def write(file: Path) -> None:
    """Write the page."""
    file.write_text(reference(), encoding="utf-8")


def _panels(parameters: list[Any]) -> dict[str, dict[str, str]]:
    """Return the rows of each heading of the help, by option, arguments first."""
    panels: dict[str, dict[str, str]] = {"": {}, _COMMON: {}}
    for parameter in parameters:
        argument = parameter.param_type_name == "argument"
        panel = "" if argument else parameter.rich_help_panel or ""
        names = (parameter.metavar,) if argument else tuple(parameter.opts)
        value = "" if argument or parameter.is_flag else f"`{parameter.metavar}`"
        shown = ", ".join(f"`{name}`" for name in names)
        cells = (shown, value, parameter.help or "")
        row = " | ".join(cell.replace("|", "\\|") for cell in cells)
        panels.setdefault(panel, {})[names[-1]] = f"| {row} |\n"
    return panels


def _table(heading: str, rows: dict[str, str]) -> str:
    above = f"{heading}:\n\n" if heading else ""
    return f"{above}{_TABLE}{''.join(rows.values())}"


if __name__ == "__main__":
    write(Path(sys.argv[1]))

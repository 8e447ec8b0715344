"""What all tables share: layout, and how numbers are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from edgecv_cli.cli.streams import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgecv_cli.core.result import Drop, Interval, Machine
    from edgecv_cli.stages.quantize_result import Side

ABSENT = "-"


def facts(rows: Iterable[tuple[str, str | None]]) -> Table:
    """Return a list of names and values; rows without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value is not None:
            table.add_row(name, Text(plain(value)))
    return table


def grid(columns: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> Table:
    """Return a table whose first ``texts`` columns are text and whose others are numbers."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table


def before_after(columns: tuple[str, str], before: Side, after: Side | None) -> Table:
    """Return two artifacts side by side: accuracy, latency and size; unmeasured rows are left out.

    Args:
        columns: what the two are called.
        before, after: what was measured of each; ``after`` is None where nothing was made.
    """
    rows = [
        ("mAP50-95", before.map, after.map if after else None, 3),
        ("mAP50", before.map50, after.map50 if after else None, 3),
        ("p50 ms", before.p50_ms, after.p50_ms if after else None, 2),
        ("p95 ms", before.p95_ms, after.p95_ms if after else None, 2),
    ]
    shown = [
        (name, fixed(a, digits), fixed(b, digits))
        for name, a, b, digits in rows
        if a is not None or b is not None
    ]
    sizes = megabytes(before.size_bytes), megabytes(after.size_bytes if after else None)
    return grid(("", *columns), [*shown, ("size", *sizes)])


def line(text: str, style: str = "") -> Text:
    """Return one line of prose, with hostile characters spelled out."""
    return Text(plain(text), style=style)


def warning(text: str) -> Text:
    """Return a line that must not be overlooked."""
    return line(f"warning: {text}", "yellow")


def count(number: int | None) -> str:
    """Return a count in thousands, millions or billions."""
    if number is None:
        return ABSENT
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.2f}{unit}"
    return str(number)


def megabytes(size: int | None) -> str:
    """Return a size in megabytes (10^6 bytes)."""
    return ABSENT if size is None else f"{size / 1e6:.2f} MB"


def fixed(value: float | None, digits: int = 3, unit: str = "") -> str:
    """Return a measured value, or a dash where it was not measured."""
    return ABSENT if value is None else f"{value:.{digits}f}{unit}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """Return a fraction as per cent."""
    return ABSENT if fraction is None else f"{100 * fraction:.{digits}f} %"


def lost(drop: Drop) -> str:
    """Return a loss of accuracy; a negative one is a gain, and says so."""
    gain = ", a gain" if drop.points < 0 else ""
    return f"{drop.points:.2f} points ({100 * drop.relative:.1f} %){gain}"


def between(interval: Interval | None, digits: int = 3) -> str | None:
    """Return an interval with how it was made."""
    if interval is None:
        return None
    how = f", {interval.resamples} resamples" if interval.resamples else ""
    low, high = (f"{value:.{digits}f}" for value in (interval.low, interval.high))
    return f"{low} to {high} ({100 * interval.level:.0f} % {interval.method}{how})"


def measured_on(machine: Machine | None) -> Iterable[Text]:
    """Yield the line that says where the numbers come from."""
    if machine is not None:
        engines = ", ".join(f"{name} {version}" for name, version in machine.engines.items())
        sets = " ".join(machine.instruction_sets)
        yield line(f"measured on {machine.cpu}, {machine.cores} cores, {sets}; {engines}", "dim")

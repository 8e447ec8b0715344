"""What ``edgecv inspect --probe`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import fixed, grid, line
from edgecv_cli.measure.preprocessing_result import CRITERIA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.measure.preprocessing_result import ProbedSetting, ProbeResult

_COLUMNS = ("values", "colour", "resize", "differs in", "score", "behind")
_VERDICTS = {
    True: "which is what was assumed",
    False: "which is not what was assumed",
    None: "as assumed, but nothing shows it",
}


def render_probe(probe: ProbeResult) -> Iterator[RenderableType]:
    """Yield the settings that were tried, the best one, and how to say it in a spec."""
    yield line(f"preprocessing, tried on {probe.images} images", "bold")
    yield grid(_COLUMNS, [_setting(setting) for setting in probe.settings], texts=4)
    yield line(
        f"score: {CRITERIA[probe.criterion]}; behind: the best's score less this one's, 95 % "
        "bootstrap over images",
        "dim",
    )
    best = probe.best
    yield line(
        f"best: {best.values}, {best.color}, {best.resize}, {_VERDICTS[probe.assumed_agrees]}"
    )
    for key, others in probe.undecided.items():
        yield line(f"{key}: these images can't tell it from {' or '.join(others)}")
    yield line("as a file for --spec:")
    yield line(f"  {probe.spec_lines.rstrip()}")
    for note in probe.notes:
        yield line(f"note: {note}", "yellow")


def _setting(setting: ProbedSetting) -> tuple[str, ...]:
    behind = setting.behind
    return (
        setting.values,
        setting.color,
        setting.resize,
        ", ".join(setting.differs) or "(best)",
        fixed(setting.score),
        "" if behind is None else f"{behind.low:.3f} to {behind.high:.3f}",
    )

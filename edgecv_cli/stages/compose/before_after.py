"""A network before and after: what reports of prune and distill have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgecv_cli.core.result import Drop, Interval
from edgecv_cli.report.blocks import (
    Block,
    Callout,
    Curves,
    Facts,
    Figure,
    Heading,
    Line,
    Paragraph,
    Table,
)
from edgecv_cli.stages.compose.accuracy import class_changes
from edgecv_cli.stages.compose.latency import Timed, latency_blocks
from edgecv_cli.stages.compose.writing import (
    between,
    fixed,
    how,
    lost,
    megabytes,
    percent,
    plural,
    relative_change,
    sentence,
    signed,
    speed_shown,
)
from edgecv_cli.stages.quantize_result import HowMade, Side


class Judged(Protocol):
    """What both results have."""

    @property
    def saved(self) -> str | None:
        """Path of the artifact."""
        ...

    @property
    def rejected(self) -> str | None:
        """Where a refused one was kept."""
        ...

    @property
    def drop(self) -> Drop | None:
        """Of the mAP."""
        ...

    @property
    def drop_interval(self) -> Interval | None:
        """In points."""
        ...

    @property
    def speedup(self) -> float | None:
        """Before over after."""
        ...

    @property
    def speedup_interval(self) -> Interval | None:
        """Of the ratio."""
        ...

    @property
    def how(self) -> HowMade | None:
        """How figures were made."""
        ...


@dataclass(frozen=True)
class Sides:
    """Both networks, as far as they were measured.

    Attributes:
        names: what they are called.
        before, after: figures of each.
    """

    names: tuple[str, str]
    before: Side | None
    after: Side | None


@dataclass(frozen=True)
class Learning:
    """How a training went; as :class:`edgecv_cli.compress.training.finetune.Tuned` has it."""

    before: float
    after: float
    steps: int
    best: int
    ended: str
    retreats: int
    curve: tuple[tuple[int, float], ...]


def verdict(result: Judged) -> Callout:
    """Return whether it was saved."""
    if result.saved is not None:
        return Callout("Every gate was met.", f"Saved as {Path(result.saved).name}.", "good")
    kept = f" It was kept as {Path(result.rejected).name}." if result.rejected else ""
    return Callout("Refused.", f"Nothing was saved under the name that was asked for.{kept}", "bad")


def gate_blocks(gates: Mapping[str, str]) -> list[Block]:
    """Return what each gate asked, and what came out."""
    if not gates:
        return []
    said = tuple((name.replace("_", " "), text) for name, text in gates.items())
    return [Heading("Gates", 3), Facts(said)]


def speed_figures(result: Judged) -> list[Figure]:
    """Return the measured speed-up, if there is one."""
    if result.speedup is None:
        return []
    interval = result.speedup_interval
    label, value = "the speed of the original", f"{result.speedup:.2f} x"
    if interval is None:
        return [Figure(value, label)]
    said, tone = speed_shown(interval)
    return [Figure(value, label, f"{said}: {between(interval, 2)}", tone)]


def size_figures(ratio: float | None, before: Side | None, after: Side | None) -> list[Figure]:
    """Return how much smaller the file is."""
    if ratio is None or before is None or after is None:
        return []
    sizes = f"{megabytes(before.size_bytes)} to {megabytes(after.size_bytes)}"
    return [Figure(f"{ratio:.2f} x", "smaller file", sizes)]


def kept_figures(result: Judged) -> list[Figure]:
    """Return how much of the mAP is left, if it was measured."""
    if result.drop is None:
        return []
    images = result.how.evaluation_images if result.how else None
    on = f" on {plural(images, 'image')}" if images else ""
    detail = f"{lost(result.drop)}{on}"
    return [Figure(percent(1 - result.drop.relative), "of the mAP kept", detail)]


def how_judged(result: Judged, spent: str) -> Paragraph:
    """Return how the figures were made; ``spent``: what took how long."""
    made, interval = result.how, result.drop_interval
    labelled = made.evaluation_images if made else None
    parts = [
        f"mAP by pycocotools on the same {plural(labelled, 'labelled image')}" if labelled else "",
        f"points lost: {between(interval, 2)}, {how(interval)}, paired by image"
        if interval
        else "",
        f"speed: {made.speed_source}, {plural(made.speed_rounds, 'round')}"
        if made and made.speed_rounds
        else "",
        f"{made.engine}, {plural(made.threads, 'thread')}, seed {made.seed}" if made else "",
        spent,
    ]
    return Paragraph(sentence(parts), muted=True)


def before_after(sides: Sides, made: Paragraph) -> list[Block]:
    """Return the table of both, and how it was made."""
    before, after = sides.before, sides.after
    if before is None or after is None:
        return []
    change = None if before.map is None or after.map is None else 100 * (after.map - before.map)
    times = [
        (name, fixed(a, 2, " ms"), fixed(b, 2, " ms"), relative_change(a, b))
        for name, a, b in (
            ("p50", before.p50_ms, after.p50_ms),
            ("p95", before.p95_ms, after.p95_ms),
        )
    ]
    sizes = (before.size_bytes, after.size_bytes)
    rows = [
        ("mAP50-95", fixed(before.map), fixed(after.map), signed(change, 1, " pt")),
        ("mAP50", fixed(before.map50), fixed(after.map50), ""),
        *times,
        ("file", *map(megabytes, sizes), relative_change(*sizes)),
    ]
    measured = tuple(row for row in rows if row[1])
    table = Table(("", *sides.names, "change"), measured, numeric=frozenset({1, 2, 3}))
    return [Heading("Before and after"), table, made]


def learning_blocks(heading: str, title: str, made: Learning) -> list[Block]:
    """Return how far the network was from what it was taught, update by update."""
    said = (
        f"{plural(made.steps, 'update')}, the best after {made.best}: {fixed(made.before, 4)} to "
        f"{fixed(made.after, 4)}; ended by {made.ended}"
    )
    blocks: list[Block] = [Heading(heading), Paragraph(f"{said}.", muted=True)]
    if len(made.curve) > 1:
        line = Line("held-out images", tuple((float(step), value) for step, value in made.curve))
        blocks.insert(1, Curves(title, "updates", "distance", (line,)))
    return blocks


def latencies(sides: Sides, made: HowMade | None) -> list[Block]:
    """Return the distribution of latencies, where they were measured."""
    both = zip(sides.names, (sides.before, sides.after), strict=True)
    timed = [Timed(n, one.p50_ms, one.p95_ms, one.distribution) for n, one in both if one]
    rounds = plural(made.speed_rounds, "round") if made and made.speed_rounds else ""
    source = f"{made.speed_source}, {rounds}" if made and rounds else ""
    blocks = latency_blocks(timed, sentence([source])) if timed else []
    return [Heading("Latency"), *blocks] if blocks else []


def classes(sides: Sides) -> list[Block]:
    """Return the mAP of each class before and after, where it was measured."""
    before, after = sides.before, sides.after
    if before is None or after is None or before.per_class is None or after.per_class is None:
        return []
    changed = class_changes(before.per_class, after.per_class, None, sides.names)
    return [Heading("Accuracy by class"), *changed] if changed else []

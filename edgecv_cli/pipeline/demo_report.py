"""The demo's report: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from edgecv_cli.pipeline.demo_result import DemoResult, DemoSide
from edgecv_cli.report.blocks import (
    Block,
    Callout,
    Document,
    Figure,
    Figures,
    Heading,
    Paragraph,
    Table,
)
from edgecv_cli.stages.compose.accuracy import class_changes
from edgecv_cli.stages.compose.latency import Timed, latency_blocks
from edgecv_cli.stages.compose.layers import layer_blocks
from edgecv_cli.stages.compose.origin import lineage_blocks, machine_blocks, warning_blocks
from edgecv_cli.stages.compose.writing import between, fixed, megabytes, percent, speed_shown

_NAMES = ("fp32", "stock int8", "edgecv int8")


def verdict(result: DemoResult) -> str:
    """Say in one sentence what int8 brought here."""
    kept = 100 * (1 - result.drop.relative)
    interval = result.speedup_interval
    speed = f"{result.speedup:.2f} x (95 % interval {interval.low:.2f} to {interval.high:.2f})"
    if result.pays:
        return (
            f"edgecv's int8 keeps {kept:.1f} % of the mAP, is {result.size_ratio:.1f} x smaller "
            f"and {speed} as fast on this machine."
        )
    return (
        f"int8 does not pay on this machine: {speed} as fast as fp32. It keeps {kept:.1f} % of "
        f"the mAP and is {result.size_ratio:.1f} x smaller."
    )


def how_made(result: DemoResult) -> str:
    """Say how the numbers were made."""
    machine = result.machine
    where = "" if machine is None else f" on {machine.cpu} ({' '.join(machine.instruction_sets)})"
    return (
        f"mAP50-95 by pycocotools on {result.images} drawn validation scenes; "
        f"{result.calibration_images} other scenes were used to calibrate. Latency: each model in "
        f"its own process, {result.rounds} interleaved rounds, {result.threads} threads{where}. "
        "The scenes are synthetic: the figures say nothing of photographs."
    )


def report_of(result: DemoResult, pictures: Sequence[Block]) -> Document:
    """Return the report; ``pictures`` is what :func:`look_and_pair` made."""
    sides = _sides(result)
    blocks: list[Block] = [
        _callout(result),
        _figures(result),
        Heading("Before and after"),
        _table(sides),
        Paragraph(f"{how_made(result)} Recipe: {result.recipe}.", muted=True),
        *warning_blocks(result.warnings),
        Heading("Latency"),
        *latency_blocks(
            [Timed(name, side.p50_ms, side.p95_ms, side.distribution) for name, side in sides],
            f"{result.rounds} interleaved rounds, each model in its own process.",
        ),
        Heading("Accuracy by class"),
        *class_changes(
            result.baseline.per_class, result.optimized.per_class, result.objects, ("fp32", "int8")
        ),
        Heading("The same scenes, before and after"),
        *pictures,
    ]
    if result.layers is not None:
        blocks += layer_blocks(result.layers, result.int8_macs_share)
    blocks += lineage_blocks(result.provenance, name=result.models[1], sha256=result.sha256)
    blocks += machine_blocks(result.machine, result.edgecv)
    return Document("edgecv demo", "The built-in detector of industrial parts", tuple(blocks))


def _callout(result: DemoResult) -> Callout:
    word = "It pays here:" if result.pays else "Not shown to pay here:"
    return Callout(word, verdict(result), "good" if result.pays else "plain")


def _sides(result: DemoResult) -> list[tuple[str, DemoSide]]:
    sides = (result.baseline, result.stock, result.optimized)
    return [(name, side) for name, side in zip(_NAMES, sides, strict=True) if side is not None]


def _figures(result: DemoResult) -> Figures:
    said, tone = speed_shown(result.speedup_interval)
    speed = f"{said}: {between(result.speedup_interval, 2)}"
    kept = f"{result.baseline.map:.3f} to {result.optimized.map:.3f} on {result.images} scenes"
    sizes = f"{megabytes(result.baseline.size_bytes)} to {megabytes(result.optimized.size_bytes)}"
    return Figures(
        (
            Figure(f"{result.speedup:.2f} x", "the speed of fp32", speed, tone),
            Figure(f"{result.size_ratio:.2f} x", "smaller file", sizes),
            Figure(percent(1 - result.drop.relative), "of the mAP kept", kept),
        )
    )


def _table(sides: Sequence[tuple[str, DemoSide]]) -> Table:
    every = [side for _, side in sides]
    rows = (
        ("mAP50-95", *(fixed(side.map) for side in every)),
        ("95 % interval", *(_ends(side) for side in every)),
        ("mAP50", *(fixed(side.map50) for side in every)),
        ("p50", *(fixed(side.p50_ms, 2, " ms") for side in every)),
        ("p95", *(fixed(side.p95_ms, 2, " ms") for side in every)),
        ("peak memory", *(megabytes(side.peak_rss_bytes) for side in every)),
        ("file", *(megabytes(side.size_bytes) for side in every)),
    )
    columns = frozenset(range(1, len(sides) + 1))
    return Table(("", *(name for name, _ in sides)), rows, numeric=columns)


def _ends(side: DemoSide) -> str:
    if side.map_low is None or side.map_high is None:
        return ""
    return f"{side.map_low:.3f} to {side.map_high:.3f}"

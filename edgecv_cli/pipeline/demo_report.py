"""The demo's report: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.pipeline.demo_result import DemoResult, DemoSide
from edgecv_cli.report.blocks import (
    Bar,
    Bars,
    Block,
    Document,
    Figure,
    Figures,
    Heading,
    Images,
    Paragraph,
    Picture,
    Table,
)

_ROWS = ("fp32, as it came", "stock quantize_static", "edgecv quantize")


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


def report_of(result: DemoResult, pictures: Sequence[Path]) -> Document:
    """Return the report; ``pictures`` are the annotated JPEG files."""
    sides = _sides(result)
    blocks: list[Block] = [
        Paragraph(verdict(result)),
        _figures(result),
        Heading("Before and after"),
        _table(result, sides),
        Bars(
            "Median latency, ms",
            tuple(Bar(name, side.p50_ms, f"{side.p50_ms:.2f} ms") for name, side in sides),
        ),
        Bars(
            "mAP50-95",
            tuple(Bar(name, max(side.map, 0.0), f"{side.map:.3f}") for name, side in sides),
        ),
        Paragraph(f"Recipe: {result.recipe}.", muted=True),
        Paragraph(how_made(result), muted=True),
    ]
    blocks += [Paragraph(f"Warning: {text}", muted=True) for text in result.warnings]
    blocks += [Heading("What the int8 detector finds"), Images(_pictures(pictures))]
    return Document("edgecv demo", "The built-in detector of industrial parts", tuple(blocks))


def _sides(result: DemoResult) -> list[tuple[str, DemoSide]]:
    sides = (result.baseline, result.stock, result.optimized)
    return [(name, side) for name, side in zip(_ROWS, sides, strict=True) if side is not None]


def _figures(result: DemoResult) -> Figures:
    interval = result.speedup_interval
    return Figures(
        (
            Figure(
                f"{result.speedup:.2f} x",
                "speed",
                f"95 % interval {interval.low:.2f} to {interval.high:.2f}",
                "good" if result.pays else "bad",
            ),
            Figure(f"{result.size_ratio:.1f} x", "smaller", "file size", "good"),
            Figure(
                f"{100 * (1 - result.drop.relative):.1f} %",
                "of the mAP kept",
                f"{result.baseline.map:.3f} to {result.optimized.map:.3f}",
                "good",
            ),
        )
    )


def _table(result: DemoResult, sides: Sequence[tuple[str, DemoSide]]) -> Table:
    header = ("", "mAP50-95", "mAP50", "p50 ms", "p95 ms", "peak RSS", "size")
    rows = tuple(
        (
            name,
            f"{side.map:.3f}",
            f"{side.map50:.3f}",
            f"{side.p50_ms:.2f}",
            f"{side.p95_ms:.2f}",
            "" if side.peak_rss_bytes is None else f"{side.peak_rss_bytes / 1e6:.0f} MB",
            f"{side.size_bytes / 1e6:.2f} MB",
        )
        for name, side in sides
    )
    return Table(
        header,
        rows,
        numeric=frozenset(range(1, len(header))),
        strong=frozenset({len(rows) - 1}),
        caption=f"One run, {result.images} images, {result.rounds} interleaved rounds",
    )


def _pictures(paths: Sequence[Path]) -> tuple[Picture, ...]:
    return tuple(
        Picture(
            path.read_bytes(),
            "image/png" if path.suffix == ".png" else "image/jpeg",
            path.name,
            f"detections on {path.name}",
        )
        for path in paths
    )

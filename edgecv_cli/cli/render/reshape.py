"""What ``edgecv reshape`` shows: before and after, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import (
    between,
    facts,
    fixed,
    grid,
    line,
    lost,
    measured_on,
    megabytes,
    warning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.stages.reshape_result import ReshapeResult


def render(result: ReshapeResult) -> Iterator[RenderableType]:
    """Yield both sizes side by side, the gates, and where the result stands."""
    yield _before_after(result)
    yield facts(
        [
            ("NMS", _nms(result)),
            ("preprocessing", str(result.baked) if result.baked else None),
            ("agreement", fixed(result.agreement, 4) if result.agreement is not None else None),
            ("drop", lost(result.drop) if result.drop else None),
            ("drop interval", between(result.drop_interval, 2)),
            ("speed-up", f"{result.speedup:.2f} x" if result.speedup else None),
            ("speed interval", between(result.speedup_interval, 2)),
            *((f"gate {name}", outcome) for name, outcome in result.gates.items()),
        ]
    )
    for text in result.warnings:
        yield warning(text)
    yield line(_how(result), "dim")
    yield from measured_on(result.machine)
    yield line(f"saved {result.saved}" if result.saved else "nothing was saved")


def _nms(result: ReshapeResult) -> str | None:
    if result.nms is None:
        return None
    if result.nms == "none":
        return "taken out of the graph"
    kind = "ONNX's NonMaxSuppression" if result.nms == "onnx" else "TensorRT's EfficientNMS"
    return f"{kind}, in the graph; verified: {result.verified}"


def _before_after(result: ReshapeResult) -> RenderableType:
    before, after = result.baseline, result.optimized
    rows = [
        ("mAP50-95", before.map, after.map, 3),
        ("mAP50", before.map50, after.map50, 3),
        ("p50 ms", before.p50_ms, after.p50_ms, 2),
        ("p95 ms", before.p95_ms, after.p95_ms, 2),
    ]
    shown = [(name, fixed(a, n), fixed(b, n)) for name, a, b, n in rows if a is not None]
    sides = ["x".join(map(str, size)) for size in (result.from_size, result.to_size)]
    if sides[0] == sides[1]:
        sides = ["original", "result"]
    sizes = ("size", megabytes(before.size_bytes), megabytes(after.size_bytes))
    return grid(("", *sides), [*shown, sizes])


def _how(result: ReshapeResult) -> str:
    how = result.how
    images = f"; mAP on {how.evaluation_images} images" if how.evaluation_images else ""
    agreed = f"; agreement on {how.agreement_images} images" if how.agreement_images else ""
    rounds = f"; {how.speed_rounds} interleaved rounds" if how.speed_rounds else ""
    return f"{how.engine}, {how.threads} threads, seed {how.seed}{rounds}{images}{agreed}"

"""What ``edgecv reshape`` shows: before and after, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import (
    before_after,
    between,
    facts,
    fixed,
    line,
    lost,
    measured_on,
    warning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.stages.reshape_result import ReshapeResult


def render(result: ReshapeResult) -> Iterator[RenderableType]:
    """Yield both sizes side by side, the gates, and where the result stands."""
    yield before_after(_names(result), result.baseline, result.optimized)
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


def _names(result: ReshapeResult) -> tuple[str, str]:
    """Return the two sizes; what they are where both are the same."""
    before, after = ("x".join(map(str, size)) for size in (result.from_size, result.to_size))
    return ("original", "result") if before == after else (before, after)


def _how(result: ReshapeResult) -> str:
    how = result.how
    images = f"; mAP on {how.evaluation_images} images" if how.evaluation_images else ""
    agreed = f"; agreement on {how.agreement_images} images" if how.agreement_images else ""
    rounds = f"; {how.speed_rounds} interleaved rounds" if how.speed_rounds else ""
    return f"{how.engine}, {how.threads} threads, seed {how.seed}{rounds}{images}{agreed}"

"""What ``edgecv evaluate`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import between, facts, fixed, grid, line, measured_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.stages.evaluate import EvaluateResult

SHOWN_CLASSES = 20


def render(result: EvaluateResult) -> Iterator[RenderableType]:
    """Yield the accuracy, overall and by class, and the conditions that it holds for."""
    yield line(f"{result.model} ({result.family})", "bold")
    yield facts(
        [
            ("mAP50-95", fixed(result.map)),
            ("interval", between(result.interval)),
            ("mAP50", fixed(result.map50)),
            ("mAP75", fixed(result.map75)),
            ("images", str(result.images)),
            ("not labelled", _unmapped(result.unmapped)),
        ]
    )
    best_first = sorted(result.per_class.items(), key=lambda item: -item[1])
    if len(best_first) > 1:
        rows = [(name, fixed(value)) for name, value in best_first[:SHOWN_CLASSES]]
        yield grid(("class", "mAP50-95"), rows)
    if len(best_first) > SHOWN_CLASSES:
        yield line(f"and {len(best_first) - SHOWN_CLASSES} more classes (all with --json)", "dim")
    used = result.profile
    yield line(
        f"pycocotools; score {used.score_threshold:g}, NMS IoU {used.nms_iou:g}, "
        f"{'multi-label' if used.multi_label else 'best class per box'}, "
        f"{used.candidates} candidates, {used.detections} detections; "
        f"{result.engine} ({result.provider}), {result.threads} threads, {result.seconds:.1f} s",
        "dim",
    )
    yield from measured_on(result.machine)
    if result.report is not None:
        yield line(f"report: {result.report}")


def _unmapped(number: int) -> str | None:
    return f"{number} detections of classes that the data does not label" if number else None

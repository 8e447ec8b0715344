"""What ``edgecv evaluate`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import (
    ABSENT,
    between,
    facts,
    fixed,
    grid,
    line,
    measured_on,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.measure.detection_quality import OperatingPoint
    from edgecv_cli.stages.evaluate_result import Against, EvaluateResult

SHOWN_CLASSES = 20
_SHOWN_DIFFERENCES = 8
_SHOWN_CONFUSIONS = 4


def render(result: EvaluateResult) -> Iterator[RenderableType]:
    """Yield the accuracy, overall and by class, and the conditions that it holds for."""
    yield line(f"{result.model} ({result.family})", "bold")
    yield facts(_facts(result))
    if result.telling:
        yield line(result.telling)
    if result.against is not None:
        yield from _against(result.against)
    yield from _classes(result)
    yield from _confusions(result)
    for gate in result.gates or ():
        yield line(gate.text, "" if gate.met and gate.shown else "yellow" if gate.met else "red")
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


def _facts(result: EvaluateResult) -> Iterator[tuple[str, str | None]]:
    yield "mAP50-95", fixed(result.map)
    yield "interval", between(result.interval)
    yield "mAP50", fixed(result.map50)
    yield "mAP75", fixed(result.map75)
    counted = result.objects_by_size or {}
    sizes = {"small": result.map_small, "medium": result.map_medium, "large": result.map_large}
    for name, value in sizes.items():
        if value is not None:
            yield name, f"{fixed(value)} ({counted.get(name, 0)} objects)"
    yield "images", str(result.images)
    yield "detections", _point(result.operating_point)
    yield "not labelled", _unmapped(result.unmapped)


def _point(point: OperatingPoint | None) -> str | None:
    if point is None:
        return None
    said = f"recall {fixed(point.recall)}, F1 {fixed(point.f1)}"
    if point.precision is not None:
        said = f"precision {fixed(point.precision)}, {said}"
    said = f"from score {point.threshold:g}: {said} (IoU {point.iou:.2f})"
    if point.best_threshold is not None:
        said += f"; best F1 {fixed(point.best_f1)}, from {fixed(point.best_threshold)}"
    return said


def _against(other: Against) -> Iterator[RenderableType]:
    difference = other.difference
    yield line(f"against {other.model} ({other.family}), mAP50-95 {fixed(other.map)}", "bold")
    yield line(difference.text)
    for one in difference.per_class[:_SHOWN_DIFFERENCES]:
        yield line(
            f"{one.name}: {fixed(one.map)} against {fixed(one.against)} "
            f"({one.points:+.1f} points, {one.objects} objects)"
        )
    hidden = len(difference.per_class) - _SHOWN_DIFFERENCES
    if hidden > 0:
        yield line(f"and {hidden} more classes in which they differ (all with --json)", "dim")
    needed = difference.images_for_a_point
    asks = "" if needed is None else f"; to show 1 point: about {needed:,} images"
    yield line(
        f"p = {difference.p_value:.3g}, {difference.permutations} permutations over images{asks}",
        "dim",
    )


def _classes(result: EvaluateResult) -> Iterator[RenderableType]:
    best_first = sorted(result.per_class.items(), key=lambda item: -item[1])
    if len(best_first) > 1:
        rows = [
            (name, fixed(value), str(result.objects.get(name, ABSENT)))
            for name, value in best_first[:SHOWN_CLASSES]
        ]
        yield grid(("class", "mAP50-95", "objects"), rows)
    if len(best_first) > SHOWN_CLASSES:
        hidden = len(best_first) - SHOWN_CLASSES
        yield line(f"and {hidden} more classes (all with --json or --csv)", "dim")


def _confusions(result: EvaluateResult) -> Iterator[RenderableType]:
    wrong = [
        f"{cell.truth} as {cell.found} ({cell.count})"
        for cell in result.confusion or ()
        if cell.truth and cell.found and cell.truth != cell.found
    ]
    if wrong:
        yield line(f"taken for another: {', '.join(wrong[:_SHOWN_CONFUSIONS])}")


def _unmapped(number: int) -> str | None:
    return f"{number} detections of classes that the data does not label" if number else None

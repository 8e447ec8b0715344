"""What ``edgecv inspect`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.probe import render_probe
from edgecv_cli.cli.render.tables import count, facts, line, measured_on, megabytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from edgecv_cli.artifact.lineage import Step
    from edgecv_cli.stages.inspect import DetectorReading, InspectResult, Tensor

SHOWN_CLASSES = 6
_DIGITS = 12


def render(result: InspectResult) -> Iterator[RenderableType]:
    """Yield the graph's facts, then how it is read as a detector, with the reasons."""
    yield line(result.model, "bold")
    yield facts(
        [
            *(("input", _tensor(tensor)) for tensor in result.inputs),
            *(("output", _tensor(tensor)) for tensor in result.outputs),
            ("opset", str(result.opset)),
            ("precision", result.precision),
            ("parameters", count(result.parameters)),
            ("MACs", None if result.macs is None else f"{count(result.macs)} per image"),
            ("size", megabytes(result.size_bytes)),
            ("sha256", result.sha256),
        ]
    )
    if result.detector is not None:
        yield line("")
        yield from _detector(result.detector)
    if result.provenance:
        yield line("")
        yield from _provenance(result.provenance, result.content_digest)
    if result.probe is not None:
        yield line("")
        yield from render_probe(result.probe)
        yield from measured_on(result.machine)
    for note in result.notes:
        yield line(f"note: {note}", "yellow")


def _tensor(tensor: Tensor) -> str:
    shape = " x ".join("?" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.name}  {tensor.dtype} [{shape}]"


def _detector(found: DetectorReading) -> Iterator[RenderableType]:
    height, width = found.input_size
    padding = "" if found.resize == "stretch" else f", padded {found.pad}"
    yield line(f"detector: {found.family} (confidence {found.confidence:.2f})", "bold")
    yield facts(
        [
            ("image", f"{height} x {width}, {found.color}, {found.resize}{padding}"),
            ("fed", f"{found.dtype}, {found.layout}, {found.batch} a run"),
            ("pixels", f"/ {found.scale:g}, - {_triple(found.mean)}, / {_triple(found.std)}"),
            ("boxes", found.boxes),
            ("strides", " ".join(map(str, found.strides)) or None),
            ("detect at", f"score {found.score_threshold:g}, NMS IoU {found.nms_iou:g}"),
            ("classes", _classes(found.classes)),
            *(("seen", reason) for reason in found.evidence),
            *(("assumed", guess) for guess in found.assumed),
        ]
    )


def _provenance(steps: Sequence[Step], content: str) -> Iterator[RenderableType]:
    """Yield the chain from the first file to this one; what one step gives, the next takes."""
    yield line("made by (contents as sha256, the first digits)", "bold")
    given = [*(step.parents for step in steps[1:]), (content,)]
    rows = []
    for step, after in zip(steps, given, strict=True):
        rows.append((step.stage, f"{_digits(step.parents)} -> {_digits(after)}"))
        looked = f"images {step.data[:_DIGITS]}" if step.data else None
        software = [f"{name} {version}" for name, version in sorted(step.versions.items())]
        parts = [f"options {step.config[:_DIGITS]}", looked, *software]
        rows.append(("", ", ".join(part for part in parts if part)))
    yield facts(rows)


def _digits(contents: Sequence[str]) -> str:
    return " + ".join(content[:_DIGITS] for content in contents) or "?"


def _triple(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_CLASSES])
    return f"{len(names)}: {shown}{', ...' if len(names) > SHOWN_CLASSES else ''}"

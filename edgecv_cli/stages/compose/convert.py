"""The report of a conversion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.measure.parity import OutputParity, Parity
from edgecv_cli.report.blocks import (
    Block,
    Callout,
    Document,
    Facts,
    Figure,
    Figures,
    Heading,
    Paragraph,
    Table,
)
from edgecv_cli.stages.compose.latency import Timed, latency_blocks
from edgecv_cli.stages.compose.origin import lineage_blocks, machine_blocks, warning_blocks
from edgecv_cli.stages.compose.quantize import compose_quantize
from edgecv_cli.stages.compose.writing import (
    between,
    fixed,
    lost,
    megabytes,
    percent,
    plural,
    sentence,
    speed_shown,
)
from edgecv_cli.stages.converting.result import ConversionResult

_VERIFIED = {
    "ran": "run on this machine and compared with the original",
    "built": "compiled for the device, but not run",
    "structure": "read back only: interface and detector spec",
}


def conversion_document(result: ConversionResult, pictures: Sequence[Block] = ()) -> Document:
    """Return the report of one run; ``pictures``: what both find, side by side."""
    name = Path(result.model).name
    blocks = compose_conversion(result, pictures)
    blocks += lineage_blocks(
        result.provenance, name=Path(result.saved or "").name, sha256=result.sha256
    )
    blocks += machine_blocks(result.machine, result.edgecv)
    command = result.schema_.partition("/")[0].removeprefix("edgecv.")
    title = f"edgecv {command}: {name}"
    return Document(title, f"{result.precision}, {result.family}", tuple(blocks))


def compose_conversion(result: ConversionResult, pictures: Sequence[Block] = ()) -> list[Block]:
    """Return the blocks of a run, without its lineage and machine."""
    blocks: list[Block] = [_verdict(result), *_figures(result), Facts(tuple(_facts(result)))]
    blocks += warning_blocks(result.warnings)
    if result.gates:
        gates = tuple((name.replace("_", " "), said) for name, said in result.gates.items())
        blocks += [Heading("Gates", 3), Facts(gates)]
    blocks += [Heading("Before and after"), _sides(result), _how(result)]
    if result.parity is not None:
        blocks += [Heading("Raw outputs"), _outputs(result.parity)]
    blocks += _latency(result)
    if pictures:
        blocks += [Heading("What both find"), *pictures]
    if result.quantized is not None:
        blocks += [Heading("How the int8 form was found"), *compose_quantize(result.quantized)]
    return blocks


def _verdict(result: ConversionResult) -> Callout:
    if result.saved is not None:
        names = " and ".join(Path(file.path).name for file in result.files if file.path)
        return Callout("Every gate was met.", f"Saved as {names}.", "good")
    kept = f" It was kept as {Path(result.rejected).name}." if result.rejected else ""
    text = f"Nothing was saved under the name that was asked for.{kept}"
    return Callout("Refused.", text, "bad")


def _figures(result: ConversionResult) -> list[Block]:
    figures = []
    if result.agreement is not None:
        detail = f"F1 of detections on {plural(result.how.agreement_images or 0, 'image')}"
        figures.append(Figure(fixed(result.agreement), "agreement with the original", detail))
    if result.drop is not None:
        detail = f"{lost(result.drop)} on {plural(result.how.evaluation_images or 0, 'image')}"
        figures.append(Figure(percent(1 - result.drop.relative), "of the mAP kept", detail))
    if result.speedup is not None:
        figures.append(_speed(result, result.speedup))
    if result.size_ratio is not None and result.converted is not None:
        sizes = (result.baseline.size_bytes, result.converted.size_bytes)
        detail = " to ".join(megabytes(size) for size in sizes)
        ratio, label = result.size_ratio, "smaller"
        if ratio < 1:
            ratio, label = 1 / ratio, "larger"
        figures.append(Figure(f"{ratio:.2f} x", label, detail))
    return [Figures(tuple(figures))] if figures else []


def _speed(result: ConversionResult, speedup: float) -> Figure:
    label, interval = "the speed of ONNX Runtime", result.speedup_interval
    if interval is None:
        return Figure(f"{speedup:.2f} x", label)
    said, tone = speed_shown(interval)
    return Figure(f"{speedup:.2f} x", label, f"{said}: {between(interval, 2)}", tone)


def _facts(result: ConversionResult) -> list[tuple[str, str]]:
    verified = _VERIFIED.get(result.verified or "", "")
    why = f" ({result.unverified})" if result.unverified else ""
    facts = [
        ("verified", f"{result.verified}: {verified}{why}" if result.verified else ""),
        ("ran on", result.provider or ""),
        ("layers", result.layers or ""),
    ]
    return [fact for fact in facts if fact[1]]


def _sides(result: ConversionResult) -> Table:
    before, after = result.baseline, result.converted
    rows = [
        ("mAP50-95", fixed(before.map), fixed(after.map if after else None)),
        ("mAP50", fixed(before.map50), fixed(after.map50 if after else None)),
        ("p50", fixed(before.p50_ms, 2, " ms"), fixed(after.p50_ms if after else None, 2, " ms")),
        ("p95", fixed(before.p95_ms, 2, " ms"), fixed(after.p95_ms if after else None, 2, " ms")),
        ("size", megabytes(before.size_bytes), megabytes(after.size_bytes if after else None)),
    ]
    shown = tuple(row for row in rows if row[1] or row[2])
    return Table(("", "original", "converted"), shown, frozenset({1, 2}))


def _how(result: ConversionResult) -> Paragraph:
    how = result.how
    images = how.agreement_images
    parts = [
        f"{how.engine}, {plural(how.threads, 'thread')}, seed {how.seed}",
        f"agreement on {plural(images, 'image')} of {how.agreement_source}" if images else "",
        f"speed: {how.speed_source}" if how.speed_source else "",
        *result.notes,
    ]
    return Paragraph(sentence(parts), muted=True)


def _outputs(parity: Parity) -> Table:
    return Table(
        ("output", "SNR", "largest difference", "of the largest value"),
        tuple(_output(one) for one in parity.outputs),
        frozenset({1, 2, 3}),
        caption=f"Over {parity.pictures} {parity.source}",
    )


def _output(one: OutputParity) -> tuple[str, ...]:
    if one.problem is not None:
        return one.output, one.problem, "", ""
    if one.same:
        return one.output, "the same", "", ""
    largest = "" if one.max_abs is None else f"{one.max_abs:.3g}"
    return one.output, fixed(one.snr_db, 1, " dB"), largest, percent(one.relative, 3)


def _latency(result: ConversionResult) -> list[Block]:
    sides = [("original, ONNX Runtime", result.baseline)]
    if result.converted is not None:
        sides.append(("converted", result.converted))
    timed = [Timed(name, one.p50_ms, one.p95_ms, one.distribution) for name, one in sides]
    blocks = latency_blocks(timed, result.how.speed_source or "")
    return [Heading("Speed"), *blocks] if blocks else []

"""What ``edgecv convert-trt`` shows."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import (
    facts,
    fixed,
    grid,
    line,
    lost,
    measured_on,
    megabytes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from edgecv_cli.measure.parity import Parity
    from edgecv_cli.stages.convert_trt_result import (
        Bundled,
        CheckedAgainst,
        ConvertTrtResult,
        EngineBuilt,
        Repaired,
        RuleFinding,
        WeightsFound,
    )
    from edgecv_cli.stages.quantize_result import QuantizeResult

_STYLES = {"error": "red", "warning": "yellow", "info": "dim"}
_SHOWN = 3


def render(result: ConvertTrtResult) -> Iterator[RenderableType]:
    """Yield what was rewritten, the findings by rule, how it compares, and the engine."""
    yield line(f"{result.model} for {result.runtime} (--device {result.device})", "bold")
    if result.quantized is not None:
        yield line(_quantized(result.quantized))
    yield from _repairs(result.fixed)
    yield from _findings(result.preflight)
    if result.checked is not None:
        yield from _checked(result.checked)
    for name, said in result.gates.items():
        yield line(f"{name}: {said}")
    if result.engine is not None:
        yield _engine(result.engine)
    if result.bundle is not None and result.bundled is not None:
        yield from _bundle(result.bundle, result.bundled)
    elif result.command is not None and result.engine is None and result.saved is not None:
        yield line(f"build it on the device: {result.command}")
    for note in result.notes:
        yield line(note, "dim")
    if result.saved is not None:
        yield line(f"saved: {result.saved} (verified: {result.verified})")
    yield from measured_on(result.machine)


def _quantized(made: QuantizeResult) -> str:
    """Say how the int8 form came about."""
    said = [f"{made.placement}, {made.estimator} ranges"]
    if made.int8_macs_share is not None:
        said.append(f"{made.int8_macs_share:.1%} of the MACs in int8")
    if made.agreement is not None:
        said.append(f"agreement {made.agreement:.3f}")
    if made.drop is not None:
        said.append(f"mAP {lost(made.drop)}")
    return f"quantized to int8: {', '.join(said)}"


def _repairs(fixes: Sequence[Repaired]) -> Iterator[RenderableType]:
    """Yield a row for each kind of repair."""
    ordered = sorted(fixes, key=lambda one: (one.rule, one.did))
    kinds = [
        (rule, did, list(group))
        for (rule, did), group in groupby(ordered, key=lambda one: (one.rule, one.did))
    ]
    rows = [
        (rule, did, "exact" if all(one.exact for one in group) else "re-fitted", str(len(group)))
        for rule, did, group in kinds
    ]
    if rows:
        yield line(f"fixed: {len(fixes)} places")
        yield grid(("rule", "what was done", "numbers", "places"), rows, texts=3)


def _findings(findings: Sequence[RuleFinding]) -> Iterator[RenderableType]:
    """Yield each rule that is broken, with the first nodes and the remedy."""
    if not findings:
        yield line("no rule is broken", "green")
        return
    key = _rule_of
    for (level, rule), group in groupby(sorted(findings, key=key), key=lambda one: key(one)[1:]):
        broken = list(group)
        places = f" ({len(broken)} places)" if len(broken) > 1 else ""
        yield line(f"{level}: {rule}{places}", _STYLES[level])
        for one in broken[:_SHOWN]:
            yield line(f"  {one.node + ': ' if one.node else ''}{one.message}")
        if len(broken) > _SHOWN:
            yield line(f"  and {len(broken) - _SHOWN} more (all with --json)", "dim")
        yield line(f"  remedy: {broken[0].remedy}", "dim")


def _rule_of(finding: RuleFinding) -> tuple[int, str, str]:
    return list(_STYLES).index(finding.level), finding.level, finding.rule


def _checked(checked: CheckedAgainst) -> Iterator[RenderableType]:
    maps = None
    if checked.map_original is not None and checked.map_fixed is not None:
        maps = f"{checked.map_original:.3f} -> {checked.map_fixed:.3f}"
    yield facts(
        [
            ("agreement with the original", fixed(checked.agreement)),
            ("mAP50-95", maps),
            ("lost", None if checked.drop is None else lost(checked.drop)),
            ("images", str(checked.images)),
        ]
    )


def _engine(engine: EngineBuilt) -> RenderableType:
    layers = ", ".join(f"{count} {kind}" for kind, count in _most(engine.layers))
    return facts(
        [
            ("engine", engine.path),
            ("built by", engine.runtime),
            ("for GPUs of", ", ".join(engine.capabilities) or None),
            ("size", megabytes(engine.size_bytes)),
            ("parsed layers", layers),
            ("weights in it", _weights(engine.weights)),
            ("layers work in", engine.precision),
            ("apart from ONNX Runtime", _apart(engine.parity)),
        ]
    )


def _weights(found: WeightsFound | None) -> str | None:
    """Say in which types the weights stand in the engine."""
    if found is None or not found.layers:
        return None
    said = [
        f"{count} layers {kind} ({megabytes(found.size_bytes[kind])})"
        for kind, count in sorted(found.layers.items(), key=lambda one: -one[1])
    ]
    return ", ".join(said) + (f", {found.unseen} not found" if found.unseen else "")


def _apart(parity: Parity | None) -> str | None:
    if parity is None:
        return None
    noise = "no difference" if parity.snr_db is None else f"{parity.snr_db:.1f} dB"
    return f"{noise} ({parity.pictures} {parity.source})"


def _bundle(folder: str, bundled: Bundled) -> Iterator[RenderableType]:
    """Yield where it is, what to do with it, and for which releases it is of no use."""
    count = len(bundled.files)
    yield line(f"bundle: {folder} ({count} files, {bundled.pictures} golden inputs)")
    yield line("copy it to the device, and there: sh build.sh && python3 verify.py")
    for why in bundled.refused.values():
        yield line(f"not for every release: {why}", "yellow")


def _most(layers: dict[str, int]) -> list[tuple[str, int]]:
    """Return the layers that say most of the network: weights, quantization and the number."""
    wanted = ("CONVOLUTION", "QUANTIZE", "DEQUANTIZE", "CAST")
    return [(kind.lower(), layers[kind]) for kind in wanted if kind in layers]

"""What a converted file must meet to be saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgecv_cli.compress.quantization.judge import describe_points
from edgecv_cli.config.common import MaxDrop
from edgecv_cli.config.conversion import Verified
from edgecv_cli.stages.converting.verify import Seen

_STEPS: tuple[Verified, ...] = ("structure", "built", "ran")


@dataclass(frozen=True)
class Gates:
    """What was asked for; None asks nothing.

    Attributes:
        require: how far it must have been verified.
        min_agreement: of detections, 0..1.
        min_snr: of every raw output, in decibels.
        max_drop: largest loss of mAP.
        min_speedup: against the original on ONNX Runtime.
        asked: names of those that are no defaults, and so can't be left out.
    """

    require: Verified
    min_agreement: float | None
    min_snr: float | None
    max_drop: MaxDrop | None
    min_speedup: float | None
    asked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """One gate with what came out."""

    name: str
    met: bool
    text: str
    warning: str = ""


def outcomes(gates: Gates, seen: Seen) -> list[Outcome]:
    """Hold what was measured against every gate that was asked for."""
    found = [_structure(seen), require_outcome(gates.require, seen)]
    if seen.verified != "ran":
        unknown = "not measured, because the result was not run here"
        return found + [Outcome(name, met=False, text=unknown) for name in gates.asked]
    made = [
        _parity(gates.min_snr, seen),
        _agreement(gates.min_agreement, seen),
        _drop(gates.max_drop, seen),
        _speed(gates.min_speedup, seen),
    ]
    return found + [one for one in made if one is not None]


def advice(refused: Sequence[str]) -> str:
    """Say what to try, given the names of the gates that were not met."""
    if "require" in refused:
        return (
            "convert on a machine that has the device, or accept less with --require built or "
            "--require structure"
        )
    if "structure" in refused:
        return "export the model again with another opset, or run the .onnx itself"
    if "min_speedup" in refused:
        return "keep the .onnx on ONNX Runtime, or accept any speed without --min-speedup"
    return "convert with --precision fp32, or widen the gate; --keep-rejected PATH.xml keeps it"


def _structure(seen: Seen) -> Outcome:
    text = "inputs, outputs and detector spec read back"
    return Outcome("structure", seen.differs is None, f"{text}: {seen.differs or 'as they were'}")


def require_outcome(asked: Verified, seen: Seen) -> Outcome:
    """Hold how far a result was verified against ``--require``."""
    why = f" ({seen.unverified})" if seen.unverified else ""
    met = _STEPS.index(seen.verified) >= _STEPS.index(asked)
    return Outcome("require", met, f"at least {asked}: {seen.verified}{why}")


def _parity(asked: float | None, seen: Seen) -> Outcome | None:
    found = seen.parity
    if asked is None or found is None:
        return None
    said = f"at least {asked:g} dB in every output"
    if found.problem is not None:
        return Outcome("min_snr", met=False, text=f"{said}: {found.problem}")
    if found.snr_db is None:
        return Outcome("min_snr", met=True, text=f"{said}: no difference")
    return Outcome("min_snr", found.snr_db >= asked, f"{said}: {found.snr_db:.1f} dB")


def _agreement(asked: float | None, seen: Seen) -> Outcome | None:
    if asked is None or seen.agreement is None:
        return None
    found = seen.agreement.agreement
    if found is None:
        text = f"at least {asked:g}: neither finds anything, nothing to compare"
        return Outcome("min_agreement", met=False, text=text)
    return Outcome("min_agreement", found >= asked, f"at least {asked:g}: {found:.4f}")


def _drop(asked: MaxDrop | None, seen: Seen) -> Outcome | None:
    if asked is None or seen.drop is None:
        return None
    lost = seen.drop.drop
    value = 100 * lost.relative if asked.unit == "%" else lost.points
    finite = seen.after is not None and math.isfinite(seen.after.map)
    points = describe_points(lost, seen.drop.points)
    text = f"at most {asked}: lost {100 * lost.relative:.1f}% ({points})"
    return Outcome("max_drop", finite and value <= asked.value, text)


def _speed(asked: float | None, seen: Seen) -> Outcome | None:
    if asked is None:
        return None
    ratios = seen.speed.ratios if seen.speed else ()
    if not ratios:
        return Outcome("min_speedup", met=False, text=f"at least {asked:g}x: not measured")
    found = ratios[0]
    text = f"at least {asked:g}x: {found.ratio:.2f}x, interval {found.low:.2f} to {found.high:.2f}"
    met = found.high >= asked
    open_ = met and found.low < asked
    warning = f"speed-up of {asked:g}x is not shown ({text})" if open_ else ""
    return Outcome("min_speedup", met, text, warning)

"""What an artifact will run on, what that asks of its integers, and whether this is one."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from edgecv_cli.core.errors import UsageError
from edgecv_cli.measure.hardware import has_vnni

_WEIGHT_BITS = {"cpu-x86-vnni": 8, "cpu-x86": 7}


@dataclass(frozen=True)
class TargetRules:
    """What a target asks of the integers.

    Attributes:
        name: target, as ``--target`` names it.
        weight_bits: 8, or 7 where pairs of u8 x s8 products saturate at 16 bits
            (x86 without VNNI: VPMADDUBSW).
        here: whether this machine is such a target, so that its speed can be measured.
    """

    name: str
    weight_bits: int
    here: bool


def resolve_target(name: str) -> TargetRules:
    """Return the rules of a target; ``cpu`` is what this machine is.

    Raises:
        UsageError: there are no rules for such a target, or for this machine.
    """
    x86 = platform.machine().lower() in {"x86_64", "amd64"}
    if name == "cpu":
        if not x86:
            raise UsageError(
                f"--target cpu means this machine ({platform.machine()}), for which there are no "
                "rules yet",
                remedy="name the target: --target cpu-x86-vnni or cpu-x86",
            )
        name = "cpu-x86-vnni" if has_vnni() else "cpu-x86"
    if name not in _WEIGHT_BITS:
        raise UsageError(
            f"there are no rules for the target '{name}'",
            remedy=f"name one of: {', '.join(_WEIGHT_BITS)}",
        )
    here = x86 and (name == "cpu-x86-vnni") == has_vnni()
    return TargetRules(name, _WEIGHT_BITS[name], here)

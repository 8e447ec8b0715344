"""What is said where no candidate met the gates."""

from __future__ import annotations

from collections.abc import Sequence

from edgecv_cli.compress.quantization.judge import Verdict


def unmet(verdict: Verdict) -> str:
    """Say which gates a candidate did not meet, with the figures."""
    return "; ".join(f"{name} {verdict.gates[name]}" for name in verdict.refused)


def advice(refused: Sequence[str]) -> str:
    """Say what to try, given the names of the gates that were not met."""
    if "min_speedup" in refused:
        return (
            "int8 does not pay for this model on this machine: keep fp32 (--precision auto), "
            "or accept a slower one with --prefer accuracy"
        )
    return (
        "try --prefer accuracy, more --calibration images, or a wider gate; "
        "--keep-rejected PATH keeps the best found"
    )

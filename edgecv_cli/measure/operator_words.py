"""What a profile of operators says, in words that terminal and report share."""

from __future__ import annotations

from edgecv_cli.measure.operator_profile import OperatorProfile

_KINDS = 6


def kinds_text(profile: OperatorProfile) -> str:
    """Return the operators that take most, by kind, with their share of the time."""
    shown = profile.kinds[:_KINDS]
    listed = ", ".join(f"{one.kind} {one.share:.0%} ({one.count})" for one in shown)
    left = sum(one.share for one in profile.kinds[_KINDS:])
    more = len(profile.kinds) - len(shown)
    return f"{listed}, {more} other {left:.0%}" if more else listed


def integers_text(profile: OperatorProfile) -> str | None:
    """Say what goes to and from integers, or None where there are none."""
    if profile.quantize_share is None:
        return None
    return f"{profile.quantize_share:.1%} of the time goes into converting to integers and back"


def how_text(profile: OperatorProfile, p50_ms: float | None) -> str:
    """Say how a profile was made, and how much slower it was than what was timed."""
    timed = "" if p50_ms is None else f", {p50_ms:.2f} ms when timed"
    return (
        f"{profile.statistic} of {profile.inferences} inferences apart from the timed ones, by the "
        f"engine's counters: {profile.operators_ms:.2f} ms in {profile.operator_count} operators, "
        f"{profile.inference_ms:.2f} ms a whole inference{timed}; counting slows it, so trust "
        "shares and not milliseconds"
    )

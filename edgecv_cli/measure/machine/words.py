"""Conditions and energy in one line each, for the terminal and the report alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.measure.machine.conditions import Conditions

if TYPE_CHECKING:
    from edgecv_cli.measure.energy import EnergyUse


def conditions_text(seen: Conditions) -> str:
    """Return what the kernel showed, in the units people use; empty if that was nothing."""
    parts = [
        f"governor {seen.governor}" if seen.governor else "",
        _change(seen.frequency_first_mhz, seen.frequency_last_mhz, 1000, "GHz", 2),
        _change(seen.temperature_first_c, seen.temperature_last_c, 1, "°C", 0) + _highest(seen),
        "" if seen.other_load is None else f"other processes on {seen.other_load:.2f} cores",
        "" if seen.steal is None else f"{seen.steal:.1%} taken by the hypervisor",
        f"throttled for heat {seen.throttle_events} times" if seen.throttle_events else "",
        f"stopped {seen.quota_stopped_s:.2f} s by the CPU quota" if seen.quota_stopped_s else "",
    ]
    return ", ".join(filter(None, parts))


def energy_text(use: EnergyUse) -> str:
    """Return energy per inference with its interval and what was taken off."""
    between = (
        f" ({use.interval.low:.1f} to {use.interval.high:.1f})" if use.interval is not None else ""
    )
    net = (
        f", {use.net_mj_per_inference:.1f} beyond the idle machine's {use.idle_watts:.1f} W"
        if use.net_mj_per_inference is not None and use.idle_watts is not None
        else ""
    )
    return f"{use.mj_per_inference:.1f} mJ{between} per inference{net}"


def _change(
    first: float | None, last: float | None, per_unit: float, unit: str, places: int
) -> str:
    if first is None or last is None:
        return ""
    before, after = f"{first / per_unit:.{places}f}", f"{last / per_unit:.{places}f}"
    return f"{after} {unit}" if before == after else f"{before} to {after} {unit}"


def _highest(seen: Conditions) -> str:
    highest, ends = seen.temperature_max_c, (seen.temperature_first_c, seen.temperature_last_c)
    if highest is None or f"{highest:.0f}" in [f"{end:.0f}" for end in ends if end is not None]:
        return ""
    return f" (at most {highest:.0f})"

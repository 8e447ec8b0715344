"""How much memory this process has needed at most."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): write 5 to reset the peak resident set size


def peak_rss_bytes() -> int:
    """Return the largest resident set of this process, since the last reset if that worked.

    Linux: VmHWM of /proc/self/status; elsewhere getrusage, which no reset touches.
    """
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def current_rss_bytes() -> int | None:
    """Return the resident set of this process now, or None where it can't be read."""
    return _status_bytes("VmRSS")


def reset_peak_rss() -> bool:
    """Let the peak start again from what is resident now; return whether that worked."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    now, peak = current_rss_bytes(), _status_bytes("VmHWM")
    return now is not None and peak is not None


def _status_bytes(field: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None

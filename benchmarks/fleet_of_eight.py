"""Eight workers on this machine, one of them killed in the middle of its measurement.

    python benchmarks/fleet_of_eight.py MODEL.onnx [--workers 8] [--duration 1]

Runs `edgecv benchmark --devices` as a user does, and kills the worker that measures third. Prints
JSON: how many devices gave a complete row, what was said of the one that was killed, and how long
it all took. Workers of one machine take turns, so this takes about as long as eight benchmarks.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PROC = Path("/proc")


def parents() -> dict[int, tuple[int, str]]:
    """Return process id to its parent's and its command line."""
    found = {}
    for folder in _PROC.iterdir():
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            found[int(folder.name)] = (int(status[1]), (folder / "cmdline").read_text())
        except (OSError, ValueError):
            continue
    return found


def measuring(fleet: int) -> int | None:
    """Return the worker of a fleet's command that has a child which is being timed."""
    every = parents()
    workers = {pid for pid, (parent, line) in every.items() if parent == fleet}
    busy = (parent for parent, line in every.values() if "_child\0latency" in line)
    return next((parent for parent in busy if parent in workers), None)


def kill_the_third(process: subprocess.Popen[bytes]) -> None:
    seen: list[int] = []
    while process.poll() is None:
        worker = measuring(process.pid)
        if worker is not None and worker not in seen:
            seen.append(worker)
        if len(seen) == 3:
            time.sleep(0.5)
            os.kill(seen[-1], signal.SIGKILL)
            return
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--duration", type=float, default=1.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fleet = Path(folder) / "fleet.yaml"
        devices = [{"name": f"worker-{n + 1}", "local": True} for n in range(asked.workers)]
        fleet.write_text(json.dumps({"devices": devices}))
        options = ["--devices", fleet, "--duration", asked.duration, "--launches", 1, "--json"]
        argv = [sys.executable, "-m", "edgecv_cli", "benchmark", asked.model, *options, "--quiet"]
        began = time.monotonic()
        process = subprocess.Popen(list(map(str, argv)), stdout=subprocess.PIPE)
        kill_the_third(process)
        answer = json.loads(process.communicate()[0])
    rows = [one for one in answer["devices"] if one.get("benchmark")]
    failed = [one["error"] for one in answer["devices"] if "error" in one]
    complete = [one for one in rows if "p95_ms" in one["benchmark"]["runs"][0]]
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"complete": len(complete), "errors": failed, "seconds": seconds}, indent=2))


if __name__ == "__main__":
    main()

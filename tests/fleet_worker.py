"""A worker whose benchmark is made up: ``fleet_worker.py BEHAVIOUR [MARKS]``.

Behaviours: ``fine`` answers at once; ``wait`` writes its process id into the folder MARKS and
works until it is cancelled; ``fail`` refuses; ``odd`` answers with something else; ``old`` says
that it is another version; ``deaf`` never reads; ``noisy`` prints before and while it works;
``liar`` answers a job with a number.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from edgecv_cli import _fleet_worker  # noqa: E402
from edgecv_cli.config.benchmark import BenchmarkConfig  # noqa: E402
from edgecv_cli.core.errors import EngineError  # noqa: E402
from edgecv_cli.measure.hardware import machine  # noqa: E402
from edgecv_cli.pipeline.fleet import worker  # noqa: E402
from edgecv_cli.pipeline.fleet.functions import JobFunction  # noqa: E402


class MadeUp:
    """A benchmark's result as JSON, without the benchmark."""

    def __init__(self, config):
        self._config = config

    def to_json(self):
        """Return a row for each model; the time is the size of its file, to be told apart."""
        config = self._config
        return {
            "schema": "edgecv.benchmark/1",
            "edgecv": "0",
            "machine": machine().model_dump(mode="json", exclude_none=True),
            "runs": [
                {
                    "model": str(model),
                    "engine": config.engine[0],
                    "threads": config.threads or 2,
                    "p50_ms": model.stat().st_size / 1e3,
                    "p95_ms": 2.0,
                    "samples": 20,
                }
                for model in config.models
            ],
            "ratios": [],
            "warnings": [f"{config.models[0]} is made up"],
            "rounds": 5,
            "seconds": 0.1,
        }


def behaving(how, marks=None):
    """Return the function of a job."""

    def run(config, context):
        if how == "fail":
            raise EngineError(f"'{config.models[0]}' can't run", remedy="pip install that-engine")
        if how == "noisy":
            print("a library prints this", flush=True)
            os.write(1, b"and writes this\n")
        if how == "wait":
            (Path(marks) / str(os.getpid())).touch()
            with context.progress.task("benchmark", 10, "round") as task:
                task.advance()
                while True:
                    context.cancel.check()
                    time.sleep(0.02)
        made = MadeUp(config)
        if how == "odd":
            made.to_json = lambda: {"runs": "none"}
        return made

    return run


def main(how="fine", marks=None):
    """Serve, as ``python -m edgecv_cli._fleet_worker`` does."""
    worker.Worker.__init__.__defaults__ = (
        (JobFunction("benchmark", BenchmarkConfig, behaving(how, marks)),),
        Path(os.environ["XDG_CACHE_HOME"]),  # other tests run on this machine too
    )
    if how == "old":
        worker.__version__ = "0.0.1"
    if how == "liar":
        worker.do_job = lambda *args: {"ok": 7}
    if how == "noisy":
        print("Welcome to this device!", flush=True)
    if how == "deaf":
        time.sleep(60)
    _fleet_worker.main()


def shim(folder, how="fine", marks=None, cache=None):
    """Write a program that stands for a device's Python, and return its path."""
    path = Path(folder) / f"python-{how}"
    lines = ["#!/bin/sh", f"export XDG_CACHE_HOME='{cache or folder}'"]
    command = f"exec '{sys.executable}' '{Path(__file__).resolve()}' {how}"
    path.write_text("\n".join([*lines, f"{command} '{marks}'" if marks else command, ""]))
    path.chmod(0o755)
    return path


def marks(folder):
    """Return the process ids of the workers that wait."""
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def until(found, seconds=60):
    """Wait for what ``found`` returns to be true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def alive(pid):
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])

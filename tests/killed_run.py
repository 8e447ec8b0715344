"""``python killed_run.py PIPELINE CACHE [KILLS]``: run a pipeline, and be killed at it.

Without KILLS it runs once; with EDGECV_TEST_KILL=N it then kills itself with SIGKILL inside
its Nth write to the store, between the entry's bytes on the disk and their name.

With KILLS it starts runs in forked children, which have imported everything already, kills
each at a random moment until so many were, and holds after each that no finished step was
lost, that what is published is byte for byte what an undisturbed run publishes, and that a
resumed run does what is left and nothing else.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from fake_stages import FAKES

from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.store import FolderStore
from edgecv_cli.pipeline.run import run_pipeline
from edgecv_cli.pipeline.stages import STAGES


def run(pipeline: Path, cache: Path, **options: bool) -> dict[str, str]:
    """Run in this process; returns each step's status."""
    config = RunConfig(pipeline=pipeline, cache=cache, **options)
    steps = run_pipeline(config, Context(), stages=(*STAGES, *FAKES)).steps
    return {step.id: step.status for step in steps}


def die_in_write(number: int) -> None:
    """Arrange for the Nth write to end the process without a chance to clean up."""
    write = FolderStore._write
    left = [number]

    def killing(store: FolderStore, path: Path, content: bytes) -> None:
        left[0] -= 1
        if left[0] == 0:
            path.with_suffix(".tmp").write_bytes(content)
            os.kill(os.getpid(), signal.SIGKILL)
        write(store, path, content)

    FolderStore._write = killing


def child(pipeline: Path, cache: Path, seconds: float) -> tuple[bool, list[str]]:
    """Run in a child for at most so long; returns whether it was killed, and what was done."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        statuses = run(pipeline, cache)
        os.write(write, json.dumps(statuses).encode())
        os._exit(0)
    os.close(write)
    deadline = time.monotonic() + seconds
    ended, status = 0, 0
    while not ended:
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            ended, status = os.waitpid(process, 0)
            break
        time.sleep(0.005)
        ended, status = os.waitpid(process, os.WNOHANG)
    with os.fdopen(read) as answer:
        said = answer.read()
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or status == 0, "the run failed"
    return killed, [step for step, word in json.loads(said or "{}").items() if word == "done"]


def outputs(folder: Path) -> dict[str, str]:
    """Every published file with its digest, and every scratch folder that was left."""
    files = {str(path): path for path in folder.rglob("*")}
    return {name: sha256_file(path) if path.is_file() else "" for name, path in files.items()}


def be_killed(pipeline: Path, cache: Path, kills: int) -> None:
    """Kill runs at random moments; prints one JSON line for each."""
    published = pipeline.parent / "out"
    began = time.monotonic()
    _, steps = child(pipeline, cache, 60.0)
    took = time.monotonic() - began
    whole = outputs(published)
    moments = random.Random(7)
    finished, killed, empty = set(steps), 0, 0
    while killed < kills:
        if len(finished) == len(steps) or killed % 5 == 4:
            _, done = child(pipeline, cache, 60.0)
            assert set(done) == set(steps) - finished, "a finished step was done twice"
            assert outputs(published) == whole, "other bytes were published"
            assert not list(pipeline.parent.rglob("*-tmp")), "something was left behind"
            shutil.rmtree(cache)
            shutil.rmtree(published)
        was, _ = child(pipeline, cache, moments.uniform(0.0, took))
        killed += was
        now = {s for s, status in run(pipeline, cache, dry_run=True).items() if status == "cached"}
        print(json.dumps({"killed": was, "finished": sorted(now)}))
        empty = 0 if now else empty + 1
        if empty == 5:  # the machine does other work by now, and is slower than at first
            took, empty = 2 * took, 0
        finished = now


if __name__ == "__main__":
    arguments = Path(sys.argv[1]), Path(sys.argv[2])
    if len(sys.argv) > 3:
        be_killed(*arguments, int(sys.argv[3]))
    else:
        if "EDGECV_TEST_KILL" in os.environ:
            die_in_write(int(os.environ["EDGECV_TEST_KILL"]))
        for name, status in run(*arguments).items():
            print(name, status)

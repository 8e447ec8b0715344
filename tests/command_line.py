"""Running ``edgecv`` as users do: in a process of its own, from anywhere."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = 120


def environment(**changes: str) -> dict[str, str]:
    """Return an environment in which the package of this checkout is found from any folder."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {**os.environ, "PYTHONPATH": path, **changes}


def python(
    *args: str,
    preexec: Callable[[], None] | None = None,
    cwd: Path | None = None,
    **changes: str,
) -> subprocess.CompletedProcess[str]:
    """Run Python to its end, in ``cwd``; ``preexec`` is called in the child before it begins."""
    return subprocess.run(
        [sys.executable, *args],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment(**changes),
        preexec_fn=preexec,
        cwd=cwd,
    )


def edgecv(
    *args: object,
    preexec: Callable[[], None] | None = None,
    cwd: Path | None = None,
    **changes: str,
) -> subprocess.CompletedProcess[str]:
    """Run ``edgecv ARGS`` to its end."""
    return python("-m", "edgecv_cli", *map(str, args), preexec=preexec, cwd=cwd, **changes)


def start(args: Sequence[object]) -> subprocess.Popen[str]:
    """Start Python in a process group of its own, in which Ctrl-C works as in a terminal."""
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a file is there.

    Raises:
        AssertionError: the process ended before, or it took too long.
    """
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)

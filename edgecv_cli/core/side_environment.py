"""Isolated Python environments for converters whose dependencies clash with edgecv's own.

One stands in a folder of this user's data, named by what is in it. A marker is written last: an
environment without it was interrupted, is never used, and is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ChildFailureError,
    EdgeCVError,
    MissingDependencyError,
    OutputError,
)
from edgecv_cli.core.files import writing
from edgecv_cli.core.process import Exit, run_to_end

_MARKER = "edgecv-target.json"
_KIND = "edgecv.target/1"
_INSTALL_SECONDS = 1800.0
_DISK_FULL = ("No space left on device", "Errno 28", "Disk quota exceeded")
_UNMATCHED = ("No matching distribution", "Could not find a version")
_PYTHONS = ("python3.13", "python3.12")


@dataclass(frozen=True)
class SideEnvironment:
    """What belongs into an environment.

    Attributes:
        name: the target that it is for.
        requirements: ``name==version`` of every distribution, dependencies of dependencies too.
        oldest: the Python version that they need at least.
        newest: the last that they are known to have wheels for.
    """

    name: str
    requirements: tuple[str, ...]
    oldest: tuple[int, int]
    newest: tuple[int, int]

    @property
    def digest(self) -> str:
        """What is in it, in eight letters."""
        text = "\n".join(sorted(self.requirements))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def folder(self) -> Path:
        """Where it stands, or would."""
        return targets_home() / f"{self.name}-{self.digest}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def install_line(self) -> str:
        """What to type to get it."""
        return f"edgecv targets install {self.name}"


def targets_home() -> Path:
    """Return the folder of all such environments.

    ``EDGECV_TARGETS_HOME`` names it; else it is in the user's data (XDG base directories).
    """
    own = os.environ.get("EDGECV_TARGETS_HOME", "")
    if Path(own).is_absolute():
        return Path(own)
    home = os.environ.get("XDG_DATA_HOME", "")
    data = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "share"
    return data / "edgecv" / "targets"


def installed(environment: SideEnvironment) -> dict[str, str] | None:
    """Return the packages of a whole environment, name to version; None where it is not there."""
    try:
        marker = json.loads((environment.folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(marker, dict) or marker.get("kind") != _KIND:
        return None
    packages = marker.get("packages")
    if not environment.python.exists() or not isinstance(packages, dict):
        return None
    return {str(name): str(version) for name, version in packages.items()}


def require_environment(environment: SideEnvironment, why: str) -> Path:
    """Return the interpreter of an environment.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if installed(environment) is None:
        raise MissingDependencyError(
            f"{why} needs converters that clash with edgecv's own packages, in an environment of "
            "their own, which is not there",
            remedy=environment.install_line,
        )
    return environment.python


def install(
    environment: SideEnvironment,
    context: Context,
    *,
    wheelhouse: Path | None = None,
    force: bool = False,
) -> dict[str, str]:
    """Make an environment; returns its packages.

    Args:
        environment: what shall be in it.
        context: shows progress, and cancels.
        wheelhouse: folder of wheels to install from, without any network; None: pip's own index.
        force: make it anew where it is there.

    Raises:
        MissingDependencyError: no Python that the packages take is here.
        OutputError: the folder can't be written to, or the disk is full.
        EdgeCVError: pip failed, in its own words.
        InterruptedByUser: the work was cancelled; what there was is removed.
    """
    there = installed(environment)
    if there is not None and not force:
        return there
    base = find_python(environment)
    if wheelhouse is not None and not wheelhouse.is_dir():
        raise EdgeCVError(
            f"the wheelhouse '{wheelhouse}' is no folder",
            remedy="name the folder that `pip download` wrote its wheels into",
        )
    folder = environment.folder
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        (folder / _MARKER).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
    try:
        _fill(environment, base, wheelhouse, context)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _sweep(environment)
    return installed(environment) or {}


def find_python(environment: SideEnvironment) -> Path:
    """Return an interpreter that the packages take: this one, or one on PATH.

    Raises:
        MissingDependencyError: there is none.
    """
    low, high = environment.oldest, environment.newest
    if low <= sys.version_info[:2] <= high:
        return Path(sys.executable)
    for name in _PYTHONS:
        version = tuple(int(part) for part in name.removeprefix("python").split("."))
        found = shutil.which(name)
        if found and low <= version <= high and _runs(found):
            return Path(found)
    words = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
    raise MissingDependencyError(
        f"the converters of target {environment.name} need Python {words}, and none is on PATH",
        remedy=f"install Python {low[0]}.{low[1]} beside this one (apt install python3.12-venv, "
        "or uv python install 3.12), then again",
    )


def run_script(
    environment: SideEnvironment,
    script: Path,
    arguments: Sequence[str],
    context: Context,
    *,
    name: str,
    seconds: float,
) -> str:
    """Run a Python file in an environment; returns the last that it wrote.

    It sees neither this process's packages nor the user's, and nothing on standard input.

    Raises:
        MissingDependencyError: the environment is not installed.
        ChildFailureError: it failed, crashed, or took longer than ``seconds``.
        InterruptedByUser: the work was cancelled.
    """
    python = require_environment(environment, name)
    # -I: neither PYTHONPATH nor the working directory; the script's own folder stays out as well
    argv = [str(python), "-I", str(script), *arguments]
    how, tail = _run(argv, environment, context, seconds)
    if how is not None and how.status == 0:
        return tail
    reason, said = _failure(how, tail, seconds)
    raise ChildFailureError(
        f"{name}: the process {said}",
        remedy=_REMEDIES[reason],
        reason=reason,
        signal=how.signal if how else None,
        stderr_tail=tail,
    )


_REMEDIES = {
    "crashed": "try the float form with --precision fp32; --verbose shows the last words",
    "hung": "try again on an idle machine, or with fewer --calibration-images",
    "oom": "use a smaller --input-size or fewer --calibration-images, or more memory",
    "error": "--verbose shows the last words; --decode outside leaves decoding to edgecv",
}


def _failure(how: Exit | None, tail: str, seconds: float) -> tuple[str, str]:
    last = tail.splitlines()[-1][:300] if tail else "nothing was said"
    if how is None:
        return "hung", f"gave no answer within {seconds:g} s"
    if how.signal == 9 or "MemoryError" in tail or "bad_alloc" in tail:
        return "oom", "ran out of memory"
    if how.signal is not None:
        return "crashed", f"crashed with signal {how.signal}"
    return "error", f"failed: {last}"


def _fill(
    environment: SideEnvironment, base: Path, wheelhouse: Path | None, context: Context
) -> None:
    folder = environment.folder
    needs = environment.requirements
    with context.progress.task(f"install {environment.name}", len(needs) + 1, "package") as task:
        task.describe("a new environment")
        _step([str(base), "-I", "-m", "venv", str(folder)], environment, context)
        task.advance()
        for need in needs:
            task.describe(need)
            _step(_pip(environment, need, wheelhouse), environment, context)
            task.advance()
    packages = dict(need.split("==") for need in needs)
    marker: dict[str, Any] = {"kind": _KIND, "target": environment.name, "packages": packages}
    with writing(folder):
        temporary = folder / f"{_MARKER}.tmp"
        temporary.write_text(json.dumps(marker, indent=1), encoding="utf-8")
        temporary.replace(folder / _MARKER)


def _pip(environment: SideEnvironment, need: str, wheelhouse: Path | None) -> list[str]:
    """Return pip's line for one wheel: nothing is built, and nothing else is pulled in."""
    source = []
    if wheelhouse is not None:
        source = ["--no-index", "--find-links", str(wheelhouse.absolute())]
    return [
        *(str(environment.python), "-I", "-m", "pip", "install", "--no-input", "--no-deps"),
        *("--disable-pip-version-check", "--progress-bar", "off", "--only-binary", ":all:"),
        *source,
        need,
    ]


def _step(argv: list[str], environment: SideEnvironment, context: Context) -> None:
    how, tail = _run(argv, environment, context, _INSTALL_SECONDS)
    if how is not None and how.status == 0:
        return
    what = f"target {environment.name} was not installed"
    if any(words in tail for words in _DISK_FULL):
        raise OutputError(
            f"{what}: no space left in {targets_home()}",
            remedy="free some space, or set EDGECV_TARGETS_HOME to a folder on another disk",
        )
    lines = [line for line in tail.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    said = (errors or lines[-1:] or ["nothing was said"])[-1][:300]
    if any(words in tail for words in _UNMATCHED):
        raise EdgeCVError(
            f"{what}: {argv[-1]} is not to be had ({said})",
            remedy="`edgecv targets --json` lists what the wheelhouse or index must hold",
        )
    raise EdgeCVError(f"{what}: {said}", remedy="check the network, or give --wheelhouse DIR")


def _run(
    argv: Sequence[str], environment: SideEnvironment, context: Context, seconds: float
) -> tuple[Exit | None, str]:
    env = _environment(environment)
    return run_to_end(argv, env=env, seconds=seconds, poll=context.cancel.check)


def _environment(environment: SideEnvironment) -> dict[str, str]:
    """Return the variables of its processes: its programs first, and nothing that phones home."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    path = os.pathsep.join([str(environment.folder / "bin"), kept.get("PATH", os.defpath)])
    quiet = {
        "PATH": path,
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONNOUSERSITE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    return {**kept, **quiet}


def _runs(program: str) -> bool:
    try:
        done = subprocess.run([program, "-c", ""], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _sweep(environment: SideEnvironment) -> None:
    """Remove what other versions of edgecv left of the same target."""
    for folder in targets_home().glob(f"{environment.name}-*"):
        if folder != environment.folder and len(folder.name) == len(environment.folder.name):
            with suppress(OSError):
                shutil.rmtree(folder)

"""Installed distributions, from their metadata alone: nothing is imported.

Sources: PyPA "Recording installed projects" (RECORD), "Core metadata" (Requires-Dist).
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgecv_cli.core.errors import MissingDependencyError
from edgecv_cli.core.require import require
from edgecv_cli.core.result import Part

SHARED_MODULES = ("onnxruntime", "cv2")
"""Modules that several distributions bring; one installed over the other breaks both."""

_PYPROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Installed:
    """A distribution.

    Attributes:
        name: normalised: ``opencv-python``.
        version: as its metadata says.
        owns: those of ``SHARED_MODULES`` that it brought files of.
    """

    name: str
    version: str
    owns: frozenset[str] = frozenset()


class Package(Part):
    """One of edgecv's own requirements, and what is installed of it."""

    name: str
    required: str = Field(description="As edgecv's metadata says, such as numpy>=1.26.")
    version: str | None = None
    state: Literal["ok", "old", "missing", "replaced", "unchecked"] = Field(
        description="replaced: another distribution brings the module; unchecked: installed, "
        "but the version can't be compared without the package packaging."
    )
    by: str | None = Field(None, description="The distribution that replaces it.")


def installed(path: Sequence[str] | None = None) -> tuple[Installed, ...]:
    """Return the distributions on ``path`` (default: ``sys.path``), by name."""
    found = importlib.metadata.distributions(path=list(sys.path if path is None else path))
    first: dict[str, Installed] = {}
    for distribution in found:
        name = distribution.metadata["Name"]
        if name:  # a half-removed one has none
            key = normalised(name)
            first.setdefault(key, Installed(key, distribution.version, _owned(distribution)))
    return tuple(first[name] for name in sorted(first))


def normalised(name: str) -> str:
    """Return a distribution's name in its one spelling (PyPA "Name normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()


def owners(distributions: Iterable[Installed], module: str) -> tuple[Installed, ...]:
    """Return the distributions that brought files of ``module``."""
    return tuple(one for one in distributions if module in one.owns)


def requirements() -> tuple[str, ...]:
    """Return what edgecv requires, from its metadata or the ``pyproject.toml`` beside it."""
    try:
        given = importlib.metadata.requires("edgecv") or []
    except importlib.metadata.PackageNotFoundError:
        given = _from_project(_PYPROJECT)
    return tuple(line for line in given if "extra ==" not in line)


def compare(needs: Iterable[str], distributions: Sequence[Installed]) -> tuple[Package, ...]:
    """Hold requirements against what is installed."""
    by_name = {one.name: one for one in distributions}
    return tuple(_compare(need, by_name, distributions) for need in needs)


def _compare(need: str, by_name: dict[str, Installed], all_: Sequence[Installed]) -> Package:
    match = _NAME.match(need)
    name = normalised(match[0]) if match else need
    required = need.partition(";")[0].strip()
    one = by_name.get(name)
    if one is not None:
        return Package(name=name, required=required, version=one.version, state=_state(need, one))
    module = "cv2" if name.startswith("opencv-") else name
    for other in owners(all_, module):
        return Package(name=name, required=required, state="replaced", by=other.name)
    return Package(name=name, required=required, state="missing")


def _state(need: str, one: Installed) -> Literal["ok", "old", "unchecked"]:
    try:
        packaging = require(
            "packaging.requirements", pip="packaging", why="comparing version numbers"
        )
    except MissingDependencyError:
        return "unchecked"
    wanted = packaging.Requirement(need).specifier
    return "ok" if wanted.contains(one.version, prereleases=True) else "old"


def _owned(distribution: importlib.metadata.Distribution) -> frozenset[str]:
    record = distribution.read_text("RECORD") or distribution.read_text("installed-files.txt")
    if record is None:
        named = set((distribution.read_text("top_level.txt") or "").split())
        return frozenset(named.intersection(SHARED_MODULES))
    lines = f"\n{record}"
    return frozenset(module for module in SHARED_MODULES if f"\n{module}/" in lines)


def _from_project(file: Path) -> list[str]:
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except (OSError, tomllib.TOMLDecodeError):
        return []
    return [str(line) for line in project.get("dependencies", [])]

"""What a finding is, and all rules over a snapshot in the order of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from edgecv_cli.core.result import Part
from edgecv_cli.measure.doctor.snapshot import EngineState, Snapshot
from edgecv_cli.measure.hardware import ENGINE_DISTRIBUTIONS

Level = Literal["ok", "info", "warning", "error"]


class Finding(Part):
    """One thing that was looked at."""

    level: Level = Field(description="error: edgecv can't work; warning: something will go wrong.")
    name: str
    found: str
    remedy: str | None = Field(None, description="What to type or change.")


Rule = Callable[[Snapshot], Iterator[Finding]]


def apply(rules: Sequence[Rule], snapshot: Snapshot) -> tuple[Finding, ...]:
    """Return what the rules find; a rule that has nothing to say yields nothing."""
    return tuple(finding for rule in rules for finding in rule(snapshot))


def required(names: Sequence[str], engines: Sequence[EngineState]) -> Iterator[Finding]:
    """Yield an error for each engine (``NAME`` or ``NAME:DEVICE``) that is asked for and absent."""
    for asked in names:
        name, _, device = asked.partition(":")
        state = next(one for one in engines if one.name == name)
        works = state.available and bool(state.devices)  # Core ML: installed, and not on macOS
        if works and (not device or device in state.devices):
            yield Finding(level="ok", name=f"required {asked}", found="it is there")
        elif works:
            yield Finding(
                level="error",
                name=f"required {asked}",
                found=f"{name} offers {', '.join(state.devices)} here, not {device}",
                remedy=f"require {name}:{state.devices[0]}",
            )
        else:
            yield _absent(asked, state)


def _absent(asked: str, state: EngineState) -> Finding:
    if not state.supported:
        found, remedy = "this edgecv does not run models on it", "require onnxruntime"
    elif state.version is None:
        found, remedy = "it is not installed", f"pip install {ENGINE_DISTRIBUTIONS[state.name][0]}"
    else:
        found = f"version {state.version} is installed and does not work"
        remedy = f"pip install --force-reinstall {state.distribution}"
    return Finding(level="error", name=f"required {asked}", found=found, remedy=remedy)

"""A pipeline's result as the cases of a JUnit suite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgecv_cli.report.junit import Case
from edgecv_cli.report.junit import junit as suite_of

_PASSED = frozenset({"done", "cached"})


def junit(result: Mapping[str, Any], name: str = "edgecv run") -> str:
    """Return the XML for what ``edgecv run --json`` prints.

    Each step is a test case. A gate that is not met is a failure, a step that comes after it
    (or that ``--dry-run`` only lists) is skipped, and where the pipeline could not go on, its
    error is one more case.

    Args:
        result: the JSON object: ``steps``, ``error``, or both.
        name: of the suite, where the result does not name its pipeline.
    """
    title = str(result.get("pipeline", name))
    return suite_of(title, _cases(result), seconds=result.get("seconds"))


def _cases(result: Mapping[str, Any]) -> Iterator[Case]:
    for step in result.get("steps", ()):
        yield _step(step)
    if "error" in result:
        said = result["error"]
        yield Case(
            "pipeline", "error", str(said["kind"]), str(said["problem"]), f"fix: {said['remedy']}"
        )


def _step(step: Mapping[str, Any]) -> Case:
    name = f"{step.get('id', step['stage'])} ({step['stage']})"
    status, why = str(step["status"]), str(step.get("why") or "")
    # a cached step took none of this run's time
    seconds = step.get("seconds") if status == "done" else None
    said = "\n".join(_facts(step, status))
    if status == "rejected":
        gates = "\n".join(_gates(step))
        return Case(name, "failure", "gate", why or status, gates, said, seconds)
    if status not in _PASSED:
        return Case(name, "skipped", message=why or status, said=said, seconds=seconds)
    return Case(name, said=said, seconds=seconds)


def _gates(step: Mapping[str, Any]) -> list[str]:
    gates = (step.get("measurements") or {}).get("gates") or {}
    if not isinstance(gates, Mapping):
        return [str(outcome["text"]) for outcome in gates]
    return [f"{gate}: {outcome}" for gate, outcome in gates.items()]


def _facts(step: Mapping[str, Any], status: str) -> list[str]:
    lines = [f"status: {status}"]
    lines += [f"{key}: {step[key]}" for key in ("why", "summary", "sha256") if step.get(key)]
    lines += [f"published: {path}" for path in step.get("published", ())]
    return lines + _gates(step)

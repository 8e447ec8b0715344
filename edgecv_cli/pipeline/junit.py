"""A pipeline's result as JUnit XML, the form in which CI services show what passed.

Source: the Jenkins xunit schema ``junit-10.xsd``, of which GitLab and GitHub's actions read
the parts written here: testsuites, testsuite, testcase, failure, error, skipped, system-out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
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
    suite = ET.Element("testsuite", name=_clean(title))
    for step in result.get("steps", ()):
        _step(suite, title, step)
    if "error" in result:
        _error(suite, title, result["error"])
    _count(suite, result.get("seconds"))
    suites = ET.Element("testsuites", {**suite.attrib, "name": "edgecv"})
    suites.append(suite)
    ET.indent(suites)
    body = ET.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _step(suite: ET.Element, title: str, step: Mapping[str, Any]) -> None:
    case = _case(suite, title, f"{step.get('id', step['stage'])} ({step['stage']})")
    status, why = str(step["status"]), str(step.get("why") or "")
    if step.get("seconds") is not None and status == "done":
        case.set("time", f"{step['seconds']:.3f}")  # a cached step took none of this run's time
    if status == "rejected":
        failure = ET.SubElement(case, "failure", type="gate", message=_clean(why or status))
        failure.text = _clean("\n".join(_gates(step)))
    elif status not in _PASSED:
        ET.SubElement(case, "skipped", message=_clean(why or status))
    ET.SubElement(case, "system-out").text = _clean("\n".join(_facts(step, status)))


def _error(suite: ET.Element, title: str, said: Mapping[str, Any]) -> None:
    case = _case(suite, title, "pipeline")
    error = ET.SubElement(
        case, "error", type=_clean(str(said["kind"])), message=_clean(str(said["problem"]))
    )
    error.text = _clean(f"fix: {said['remedy']}")


def _case(suite: ET.Element, title: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_clean(title), name=_clean(name))


def _gates(step: Mapping[str, Any]) -> list[str]:
    gates = (step.get("measurements") or {}).get("gates") or {}
    return [f"{gate}: {outcome}" for gate, outcome in gates.items()]


def _facts(step: Mapping[str, Any], status: str) -> list[str]:
    lines = [f"status: {status}"]
    lines += [f"{key}: {step[key]}" for key in ("why", "summary", "sha256") if step.get(key)]
    lines += [f"published: {path}" for path in step.get("published", ())]
    return lines + _gates(step)


def _count(suite: ET.Element, seconds: float | None) -> None:
    suite.set("tests", str(len(suite)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    if seconds is not None:
        suite.set("time", f"{seconds:.3f}")


def _clean(text: str) -> str:
    """Return text without the characters that XML 1.0 has no way to write."""
    return _NOT_XML.sub("\ufffd", text)

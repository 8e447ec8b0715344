"""Outcomes as JUnit XML, the form in which CI services show what passed.

Source: the Jenkins xunit schema ``junit-10.xsd``, of which GitLab and GitHub's actions read
the parts written here: testsuites, testsuite, testcase, failure, error, skipped, system-out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One outcome.

    Attributes:
        name: what was tried.
        outcome: what came of it.
        kind: of a failure or error.
        message: why, in a line; of anything but a pass.
        detail: more of it.
        said: what else there is to know.
        seconds: that it took; None: nothing of this run's time.
    """

    name: str
    outcome: Literal["passed", "failure", "error", "skipped"] = "passed"
    kind: str = ""
    message: str = ""
    detail: str = ""
    said: str | None = None
    seconds: float | None = None


def junit(title: str, cases: Iterable[Case], *, seconds: float | None = None) -> str:
    """Return the XML of one suite.

    Args:
        title: of the suite.
        cases: in their order.
        seconds: that everything took.
    """
    suite = ET.Element("testsuite", name=_clean(title))
    for case in cases:
        _add(suite, title, case)
    _count(suite, seconds)
    suites = ET.Element("testsuites", {**suite.attrib, "name": "edgecv"})
    suites.append(suite)
    ET.indent(suites)
    body = ET.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _add(suite: ET.Element, title: str, case: Case) -> None:
    element = ET.SubElement(suite, "testcase", classname=_clean(title), name=_clean(case.name))
    if case.seconds is not None:
        element.set("time", f"{case.seconds:.3f}")
    if case.outcome != "passed":
        told = {"type": _clean(case.kind)} if case.kind else {}
        outcome = ET.SubElement(element, case.outcome, {**told, "message": _clean(case.message)})
        if case.outcome != "skipped":
            outcome.text = _clean(case.detail)
    if case.said is not None:
        ET.SubElement(element, "system-out").text = _clean(case.said)


def _count(suite: ET.Element, seconds: float | None) -> None:
    suite.set("tests", str(len(suite)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    if seconds is not None:
        suite.set("time", f"{seconds:.3f}")


def _clean(text: str) -> str:
    """Return text without the characters that XML 1.0 has no way to write."""
    return _NOT_XML.sub("\ufffd", text)

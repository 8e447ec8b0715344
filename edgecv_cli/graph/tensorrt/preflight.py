"""Hold a graph against the rules."""

from __future__ import annotations

import onnx

from edgecv_cli.graph.tensorrt.finding import LEVELS, Finding, Level
from edgecv_cli.graph.tensorrt.rules import RULES, Rule
from edgecv_cli.graph.tensorrt.target import TrtTarget
from edgecv_cli.graph.tensorrt.view import View


def preflight(model: onnx.ModelProto, target: TrtTarget) -> tuple[Finding, ...]:
    """Return what breaks the rules that hold for a target, worst first, then by rule.

    Args:
        model: a checked model; it is not changed.
        target: what it is for.
    """
    view = View(model)
    found = [
        finding
        for rule in RULES
        if (level := rule.level(target)) is not None
        for finding in _broken(rule, view, target, level)
    ]
    return tuple(sorted(found, key=lambda finding: LEVELS.index(finding.level)))


def _broken(rule: Rule, view: View, target: TrtTarget, level: Level) -> list[Finding]:
    return [
        Finding(rule.name, hit.level or level, hit.node, hit.message, hit.remedy or rule.remedy)
        for hit in rule.check(view, target)
    ]

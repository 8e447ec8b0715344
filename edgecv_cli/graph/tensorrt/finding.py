"""What a rule finds in a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "info"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Hit:
    """One place that breaks a rule.

    Attributes:
        node: name of the node or tensor; empty where it is the whole graph.
        message: what is there.
        level: how bad it is, if other than the rule's level for the target.
        remedy: what to do, if other than the rule's.
    """

    node: str
    message: str
    level: Level | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class Finding:
    """One place that breaks a rule, as it is reported.

    Attributes:
        rule: the rule's name.
        level: ``error``: TensorRT refuses it or computes something else; ``warning``: it is
            slower, or hangs on the release; ``info``: good to know.
        node: name of the node or tensor; empty where it is the whole graph.
        message: what is there.
        remedy: what to do.
    """

    rule: str
    level: Level
    node: str
    message: str
    remedy: str

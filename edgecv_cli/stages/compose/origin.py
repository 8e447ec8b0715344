"""Where a file came from and where it was measured: what a report closes with."""

from __future__ import annotations

from collections.abc import Sequence

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.core.result import Machine
from edgecv_cli.report.blocks import Block, Callout, Chain, Facts, Heading, Link, Paragraph
from edgecv_cli.stages.compose.writing import plural


def warning_blocks(warnings: Sequence[str]) -> list[Block]:
    """Return what must not be overlooked."""
    if len(warnings) > 1:
        return [Callout("Warnings", "", points=tuple(warnings))]
    return [Callout("Warning:", text) for text in warnings]


def lineage_blocks(provenance: Sequence[Step], *, name: str, sha256: str | None) -> list[Block]:
    """Return the chain from the first file to ``name``; nothing for a file without a history."""
    if not provenance:
        return []
    made = {parent for step in provenance[1:] for parent in step.parents}
    roots = [parent for parent in provenance[0].parents if parent not in made]
    links = [Link("the file it began with", (("the model", root),)) for root in roots]
    links += [Link(step.stage, _facts(step)) for step in provenance]
    links.append(Link(name, (("sha256 of the file", sha256),) if sha256 else ()))
    return [
        Heading("Lineage"),
        Chain(tuple(links)),
        Paragraph(
            "The chain is stored inside the file. All values are sha256: of the model without "
            "edgecv's own metadata, of the options that decide the bytes, and of the images.",
            muted=True,
        ),
    ]


def _facts(step: Step) -> tuple[tuple[str, str], ...]:
    facts = [("options", step.config)]
    if step.data is not None:
        facts.append(("images", step.data))
    facts += [("went in", parent) for parent in step.parents]
    if step.versions:
        facts.append(("made with", ", ".join(f"{k} {v}" for k, v in step.versions.items())))
    return tuple(facts)


def machine_blocks(machine: Machine | None, edgecv: str) -> list[Block]:
    """Return where everything was measured."""
    if machine is None:
        return []
    facts = [
        ("processor", machine.cpu),
        ("for int8", " ".join(machine.instruction_sets) or "no instruction set that helps"),
        ("usable", plural(machine.cores, "core")),
        ("memory", _gigabytes(machine.memory_bytes)),
        ("frequency governor", machine.governor or ""),
        ("system", machine.os),
        ("software", _software(machine, edgecv)),
        ("fingerprint", machine.fingerprint),
    ]
    return [Heading("Machine"), Facts(tuple(fact for fact in facts if fact[1]))]


def _gigabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**30:.1f} GiB"


def _software(machine: Machine, edgecv: str) -> str:
    named = {"edgecv": edgecv, "Python": machine.python, **machine.engines}
    return ", ".join(f"{name} {version}" for name, version in named.items())

"""The report of a distill run."""

from __future__ import annotations

from pathlib import Path

from edgecv_cli.report.blocks import Block, Document, Facts, Figure, Figures, Heading
from edgecv_cli.stages.compose.before_after import (
    Learning,
    Sides,
    before_after,
    classes,
    gate_blocks,
    how_judged,
    kept_figures,
    latencies,
    learning_blocks,
    size_figures,
    speed_figures,
    verdict,
)
from edgecv_cli.stages.compose.origin import lineage_blocks, machine_blocks, warning_blocks
from edgecv_cli.stages.compose.writing import fixed, percent, plural
from edgecv_cli.stages.distill_result import DistillResult

_LESSONS = {
    "raw": "raw predictions of a teacher with the same heads",
    "features": "boxes and scores of every candidate, and the feature maps before them",
    "dense": "boxes and scores of every candidate of a teacher with the same heads",
    "objects": "boxes and scores of objects, by where they lie",
}


def distill_document(result: DistillResult) -> Document:
    """Return the report of one run."""
    sides = Sides(("before", "after"), result.before, result.after)
    spent = f"{result.seconds:.0f} s of training"
    blocks = [verdict(result), *_figures(result), *before_after(sides, how_judged(result, spent))]
    blocks += warning_blocks(result.warnings)
    blocks += [*gate_blocks(result.gates), *_taught(result), *_learned(result)]
    blocks += [*_integers(result), *latencies(sides, result.how), *classes(sides)]
    name = Path(result.saved or "").name
    blocks += lineage_blocks(result.provenance, name=name, sha256=result.sha256)
    blocks += machine_blocks(result.machine, result.edgecv)
    title = f"edgecv distill: {Path(result.model).name}"
    return Document(title, f"taught by {Path(result.teacher).name}", tuple(blocks))


def _figures(result: DistillResult) -> list[Block]:
    figures = [*speed_figures(result), *kept_figures(result)]
    figures += size_figures(result.size_ratio, result.before, result.after)
    agreed = result.agreement
    if agreed is not None and agreed.after is not None:
        before = "" if agreed.before is None else f"{agreed.before:.3f} before; "
        detail = f"{before}F1 of matched detections, {plural(agreed.images, 'image')}"
        figures.append(Figure(f"{agreed.after:.3f}", "agreement with the teacher", detail))
    return [Figures(tuple(figures))] if figures else []


def _taught(result: DistillResult) -> list[Block]:
    facts = [("learned", _LESSONS[result.lesson]), ("of", Path(result.teacher).name)]
    if result.width is not None:
        facts.append(("width", f"{percent(result.width)} of the multiply-accumulates stayed"))
    facts += [(name, f"{count} replaced") for name, count in (result.swapped or {}).items()]
    images = f"{result.training_images} learned from, {result.held_out_images} held out"
    return [Heading("What was learned"), Facts((*facts, ("images", images)))]


def _learned(result: DistillResult) -> list[Block]:
    rows = tuple((row.step, row.distance) for row in result.losses)
    if not rows:
        return []
    made = Learning(
        before=rows[0][1],
        after=min(value for _, value in rows),
        steps=result.steps,
        best=result.best,
        ended=result.ended,
        retreats=result.retreats,
        curve=rows,
    )
    title = "Distance of held-out images from what is taught"
    return learning_blocks("Training", title, made)


def _integers(result: DistillResult) -> list[Block]:
    made = result.integers
    if made is None:
        return []
    tried = tuple((f"untrained, {name}", fixed(one, 4)) for name, one in made.untrained.items())
    facts = (
        ("target", made.target),
        ("ranges", made.estimator),
        *tried,
        ("trained", f"{fixed(made.before, 4)} to {fixed(made.after, 4)}"),
        ("updates", f"{made.steps}, the best after {made.best}; ended by {made.ended}"),
        ("file against what was trained", f"{fixed(made.parity, 4)} of the output's spread"),
    )
    return [Heading("Integers"), Facts(facts)]

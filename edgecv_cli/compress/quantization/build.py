"""From a recipe to its model: equalise, observe, place, correct, apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.evidence import Evidence
from edgecv_cli.compress.quantization.placement import integer_share
from edgecv_cli.compress.quantization.plan import EqualisePlan, QuantizePlan
from edgecv_cli.compress.quantization.propose import placement_of, propose
from edgecv_cli.compress.quantization.ranking import Ranking
from edgecv_cli.compress.quantization.recipe import Candidate, Recipe
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.core.context import Context
from edgecv_cli.graph.io import serialize


@dataclass(frozen=True)
class _View:
    """A float graph, equalised or not, with what was observed in it."""

    evidence: Evidence
    equalise: tuple[EqualisePlan, ...] = ()


class Builder:
    """Makes plans from recipes, and models from plans.

    Args:
        evidence: of the normalised float graph.
        rules: the target's.
        observe_again: observes another form of the same graph on the same images.
        context: progress and cancellation.
    """

    def __init__(
        self,
        evidence: Evidence,
        rules: TargetRules,
        observe_again: Callable[[Evidence], Evidence],
        context: Context,
    ) -> None:
        self._plain = _View(evidence)
        self._rules = rules
        self._observe_again = observe_again
        self._context = context
        self._equal: _View | None = None

    def plan(self, recipe: Recipe) -> QuantizePlan:
        """Return the plan of a recipe."""
        view = self._view(recipe)
        evidence = view.evidence
        plan = propose(
            evidence.topology,
            evidence.observed,
            recipe,
            self._rules,
            source=evidence.source,
            input_size=evidence.input_size,
        )
        return plan.model_copy(update={"equalise": view.equalise})

    def model(self, plan: QuantizePlan) -> bytes:
        """Return the model file of a plan, without metadata."""
        return serialize(apply_normalised(self._plain.evidence.topology, plan))

    def share(self, recipe: Recipe) -> float:
        """Return the fraction of the multiply-accumulates that a recipe leaves in integers."""
        topology = self._plain.evidence.topology
        return integer_share(topology, placement_of(topology, recipe, self._rules).nodes)

    def form(self, precision: str) -> Candidate:
        """Return the candidate of a precision that leaves nothing to search."""
        evidence = self._plain.evidence
        plan = QuantizePlan(
            source=evidence.source,
            target=self._rules.name,
            precision=precision,
            placement="all",
            estimator="minmax",
            bias_correction=False,
            input_size=evidence.input_size,
            nodes=(),
            grids={},
            layers={},
        )
        share = integer_share(evidence.topology, plan.nodes)
        return Candidate(Recipe(precision, ""), plan, share)

    def damages(self, recipe: Recipe, ranking: Ranking | None) -> Sequence[tuple[str, ...]]:
        """Return groups of layers of a recipe's model, the most damaging first."""
        return []

    def _view(self, recipe: Recipe) -> _View:  # noqa: ARG002
        return self._plain

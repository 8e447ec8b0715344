"""From a recipe to its model: equalise, observe, place, correct, apply."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.corrections import CORRECTION_IMAGES, correct
from edgecv_cli.compress.quantization.equalise import channel_ranges, equalisation, equalised
from edgecv_cli.compress.quantization.evidence import Evidence
from edgecv_cli.compress.quantization.float_forms import beyond_half
from edgecv_cli.compress.quantization.forms import dynamic_plan, float_plan, weight_only_plan
from edgecv_cli.compress.quantization.placement import integer_share
from edgecv_cli.compress.quantization.plan import EqualisePlan, LayerPlan, QuantizePlan
from edgecv_cli.compress.quantization.propose import placement_of, propose
from edgecv_cli.compress.quantization.recipe import Candidate, Recipe, spread
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.compress.walk import exact_opener
from edgecv_cli.core.context import SILENT, Context
from edgecv_cli.core.store import digest_key
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.topology import Topology
from edgecv_cli.inference.calibration import CalibrationFeed
from edgecv_cli.measure.hardware import engine_versions
from edgecv_cli.media.images import digest_files


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
        observe: takes the ranges of another form of the same graph on images.
        folder: for files in passing.
        threads: threads that the engine may use; None is one per usable core.
        context: cancellation and seed.
    """

    def __init__(
        self,
        evidence: Evidence,
        rules: TargetRules,
        observe: Callable[[Topology, Sequence[Path]], Evidence],
        *,
        folder: Path,
        threads: int | None,
        context: Context,
    ) -> None:
        self._plain = _View(evidence)
        self._rules = rules
        self._observe = observe
        self._open = exact_opener(folder, threads)
        self._context = replace(context, progress=SILENT)
        self._equal: _View | None = None
        self._layers: dict[tuple[bool, bool], dict[str, LayerPlan]] = {}

    def plan(self, recipe: Recipe) -> QuantizePlan:
        """Return the plan of a recipe."""
        plan = self._proposed(recipe)
        if not recipe.rounding:
            return plan
        # It takes long, and is chosen once: for the first recipe that asks. Others that are like
        # it may have it too; the ranking says whether that does them good.
        rounded = self._rounded(recipe)
        layers = {name: rounded.get(name, layer) for name, layer in plan.layers.items()}
        return plan.model_copy(update={"layers": layers})

    def model(self, plan: QuantizePlan) -> bytes:
        """Return the model file of a plan, without metadata."""
        return serialize(apply_normalised(self._plain.evidence.topology, plan))

    def share(self, recipe: Recipe) -> float:
        """Return the fraction of the multiply-accumulates that a recipe leaves in integers."""
        topology = self._plain.evidence.topology
        return integer_share(topology, placement_of(topology, recipe, self._rules).nodes)

    def form(self, precision: str) -> Candidate:
        """Return the candidate of a precision that leaves nothing to search.

        Raises:
            UsageError: no layer of the model can have it.
        """
        plan = self._form(precision)
        share = integer_share(self._plain.evidence.topology, plan.nodes)
        return Candidate(Recipe(plan.placement, plan.estimator), plan, share)

    def _form(self, precision: str) -> QuantizePlan:
        evidence, rules = self._plain.evidence, self._rules
        topology, source, size = evidence.topology, evidence.source, evidence.input_size
        if precision == "int8-dynamic":
            return dynamic_plan(topology, rules, source=source, input_size=size)
        if precision in ("int8-weights", "int4-weights"):
            bits: Literal[4, 8] = 4 if precision == "int4-weights" else 8
            return weight_only_plan(topology, rules, bits=bits, source=source, input_size=size)
        if precision == "int8-int16":
            wide = replace(rules, activation_bits=16)
            recipe = Recipe("all", "minmax")
            return propose(
                topology, evidence.observed, recipe, wide, source=source, input_size=size
            )
        if precision == "fp16":
            kept = beyond_half(topology, evidence.observed)
            return float_plan("fp16", rules, source=source, input_size=size, kept_fp32=kept)
        return float_plan("fp32", rules, source=source, input_size=size)

    def _view(self, recipe: Recipe) -> _View:
        if not recipe.equalise:
            return self._plain
        if self._equal is None:
            plain = self._plain.evidence
            ranges = channel_ranges(
                plain.topology,
                self._feed(len(plain.used)),
                open_model=self._open,
                context=self._context,
            )
            pairs = equalisation(plain.topology, ranges)
            self._equal = self._plain
            if pairs:
                equal = equalised(plain.topology, pairs)
                self._equal = _View(self._observe(equal, plain.used), pairs)
        return self._equal

    def _proposed(self, recipe: Recipe) -> QuantizePlan:
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

    def _rounded(self, recipe: Recipe) -> dict[str, LayerPlan]:
        """Return a recipe's layers with their rounding chosen; it takes long and is kept."""
        key = bool(self._view(recipe).equalise), recipe.bias_correction
        if key not in self._layers:
            self._layers[key] = self._round(self._proposed(recipe)).layers
        return self._layers[key]

    def _round(self, plan: QuantizePlan) -> QuantizePlan:
        key = digest_key(
            kind="edgecv.rounded/1",
            plan=json.loads(plan.model_dump_json()),
            images=digest_files(spread(self._plain.evidence.used, CORRECTION_IMAGES)),
            spec=json.loads(self._plain.evidence.spec.model_dump_json()),
            seed=self._context.seed,
            versions=engine_versions(),
        )
        kept = self._context.store.get(key)
        if kept is not None:
            with suppress(ValidationError):
                return QuantizePlan.model_validate_json(kept)
        rounded = correct(
            self._plain.evidence.topology,
            plan,
            self._feed(CORRECTION_IMAGES),
            open_model=self._open,
            context=self._context,
            # the shift that the plan has already goes well with rounding, and costs nothing
            bias=False,
            rounding=True,
        )
        self._context.store.put(key, rounded.model_dump_json().encode())
        return rounded

    def _feed(self, count: int) -> CalibrationFeed:
        evidence = self._plain.evidence
        return CalibrationFeed(
            spread(evidence.used, count),
            input_specs(evidence.topology.model),
            evidence.spec,
            self._context,
        )
